"""`jobrunner doctor` sees what is there, changes nothing, and says what to do."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running import Service, running

import service as package
from service.link.frames import encode
from service.link.protocol import PROTOCOL

pytestmark = pytest.mark.e2e

# Seconds: a fuse.
FUSE_S = 300


def run_doctor(
    state_dir: Path | str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBRUNNER_")}  # noqa: TID251 - what a person's shell would pass
    return subprocess.run(
        [sys.executable, "-m", "service", "doctor", *arguments],
        env={**inherited, "JOBRUNNER_STATE_DIR": str(state_dir), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=FUSE_S,
    )


def findings(state_dir: Path | str, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and what each check found."""
    ran = run_doctor(state_dir, "--json", **environment)
    assert ran.stderr == ""
    return ran.returncode, {found["check"]: found for found in json.loads(ran.stdout)}


CHECKS = {
    "settings",
    "state directory",
    "service",
    "records",
    "supervisor",
    "free space",
    "open files",
    "cgroup",
    "kept processes",
    "drain",
    "inotify",
    "tokens",
    "jobs",
    "kind bash",
    "kind docker",
    "kind slurm",
    "versions",
}


def test_a_running_service_is_seen_whole(service: Service):
    service.run("true")
    status, found = findings(service.state_dir)
    assert status == 0
    assert set(found) == CHECKS
    for check in ("settings", "state directory", "service", "records", "supervisor"):
        assert found[check]["verdict"] == "ok", found[check]
    assert f"pid {service.process.pid}." in found["service"]["text"]
    assert f"pid {service.supervisor_pid()}," in found["supervisor"]["text"]
    assert package.__version__ in found["versions"]["text"]


def test_it_speaks_plain_lines(service: Service):
    ran = run_doctor(service.state_dir)
    assert ran.returncode == 0
    verdicts = {line.split()[0] for line in ran.stdout.splitlines()}
    assert verdicts <= {"ok", "warning", "problem", "→"}
    assert any(line.startswith("ok       supervisor: ") for line in ran.stdout.splitlines())


def test_it_makes_nothing_where_nothing_is(tmp_path: Path):
    status, found = findings(tmp_path / "none")
    assert status == 0
    assert "does not exist yet" in found["state directory"]["text"]
    assert not list(tmp_path.iterdir())


def test_a_wrong_setting_is_a_problem(tmp_path: Path):
    status, found = findings(tmp_path, JOBRUNNER_MAX_RUNNING="many")
    assert status == 1
    assert found["settings"]["verdict"] == "problem"
    assert "JOBRUNNER_MAX_RUNNING is 'many'" in found["settings"]["text"]


def test_a_misspelt_setting_is_a_warning(tmp_path: Path):
    status, found = findings(tmp_path, JOBRUNNER_MAX_RUNING="4")
    assert status == 0
    assert found["settings"]["verdict"] == "warning"


def test_a_supervisor_that_died_under_a_service_is_not_taken_for_none(state_dir: Path):
    with running(state_dir) as service:
        (state_dir / "supervisor.sock").rename(state_dir / "away.sock")
        status, found = findings(state_dir)
        (state_dir / "away.sock").rename(state_dir / "supervisor.sock")
        assert status == 1
        assert found["supervisor"]["verdict"] == "problem"
        assert "supervisor.log" in found["supervisor"]["advice"]
        assert service.client.get("/health/ready").status_code == 200


def test_a_supervisor_of_another_release_is_not_taken_for_none(tmp_path: Path):
    tmp_path.chmod(0o711)
    with (
        socket.create_server(str(tmp_path / "supervisor.sock"), family=socket.AF_UNIX) as server,
        subprocess.Popen(
            [sys.executable, "-m", "service", "doctor", "--json"],
            env={**os.environ, "JOBRUNNER_STATE_DIR": str(tmp_path)},  # noqa: TID251 - what a person's shell would pass
            stdout=subprocess.PIPE,
        ) as doctor,
    ):
        connection, _ = server.accept()
        with connection:
            connection.sendall(encode({"type": "hello", "protocol": PROTOCOL - 1}))
            report, _ = doctor.communicate(timeout=FUSE_S)
    found = {check["check"]: check for check in json.loads(report)}["supervisor"]
    assert found["verdict"] == "problem"
    assert f"speaks protocol {PROTOCOL - 1}" in found["text"]
    assert "Wait for its jobs to end" in found["advice"]


def records(state_dir: Path) -> Path:
    """The records of a service that ran."""
    with running(state_dir) as service:
        service.run("true")
    return state_dir / "jobs.db"


def test_records_of_a_newer_release_are_a_problem(state_dir: Path):
    with closing(sqlite3.connect(records(state_dir))) as db:
        db.execute("PRAGMA user_version = 1000")
    status, found = findings(state_dir)
    assert status == 1
    assert "schema version 1000" in found["records"]["text"]


def test_damaged_records_are_a_problem(state_dir: Path):
    path = records(state_dir)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    status, found = findings(state_dir)
    assert status == 1
    assert found["records"]["verdict"] == "problem"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_owner_is_a_problem(tmp_path: Path):
    os.chown(tmp_path, 12345, -1)
    status, found = findings(tmp_path)
    assert status == 1
    assert "belongs to user 12345" in found["state directory"]["text"]


def test_a_directory_that_others_may_write_to_is_a_problem(tmp_path: Path):
    tmp_path.chmod(0o777)
    status, found = findings(tmp_path)
    assert status == 1
    assert "chmod" in found["state directory"]["advice"]


def test_a_unix_socket_that_others_can_replace_is_a_warning_and_one_without_place_a_problem(
    tmp_path: Path,
):
    state_dir, directory = tmp_path / "state", tmp_path / "open"
    status, found = findings(state_dir, JOBRUNNER_SOCKET=str(directory / "s"))
    assert (status, found["unix socket"]["verdict"]) == (1, "problem")
    directory.mkdir()
    _, found = findings(state_dir, JOBRUNNER_SOCKET=str(directory / "s"))
    assert found["unix socket"]["verdict"] == "ok"
    directory.chmod(0o777)
    _, found = findings(state_dir, JOBRUNNER_SOCKET=str(directory / "s"))
    assert found["unix socket"]["verdict"] == "warning"
    assert f"every user may write to {directory} " in found["unix socket"]["text"]


def test_too_few_descriptors_are_a_warning(tmp_path: Path):
    limited = f"ulimit -n 256; exec {sys.executable} -m service doctor --json"
    environment = {**os.environ, "JOBRUNNER_STATE_DIR": str(tmp_path)}  # noqa: TID251 - what a person's shell would pass
    ran = subprocess.run(
        ["bash", "-c", limited],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=FUSE_S,
    )
    (found,) = (f for f in json.loads(ran.stdout) if f["check"] == "open files")
    assert (ran.returncode, found["verdict"]) == (0, "warning")
    assert "256 files" in found["text"]

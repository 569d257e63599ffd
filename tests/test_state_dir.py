"""A state directory that can't be used ends the service with status 2 and a clear sentence."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from running import running

from service import state_dir
from service.store import Store

# Seconds: a fuse.
FUSE_S = 300


def refusal(directory: Path, *arguments: str) -> str:
    """What a service that is started on it says when it ends with status 2."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBRUNNER_")}  # noqa: TID251 - what a person's shell would pass
    ran = subprocess.run(
        [sys.executable, "-m", "sanic", "service.app", *(arguments or ("--workers", "2"))],
        env={**inherited, "JOBRUNNER_STATE_DIR": str(directory), "JOBRUNNER_PORT": "0"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=FUSE_S,
        start_new_session=True,
    )
    assert ran.returncode == 2, (ran.returncode, ran.stdout, ran.stderr)
    assert "Traceback" not in ran.stderr
    (line,) = (line for line in ran.stderr.splitlines() if line.startswith("jobrunner: "))
    return line


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def read_only(directory: Path) -> Iterator[Path]:
    """One on a file system that is mounted read-only, which holds for root too."""
    state_dir.prepare(directory)
    for command in (
        ["mount", "--bind", directory, directory],
        ["mount", "-o", "remount,bind,ro", directory],
    ):
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            subprocess.run(["umount", directory], capture_output=True, check=False)
            pytest.skip(f"no read-only mount can be made: {done.stderr.decode().strip()}")
    yield directory
    subprocess.run(["umount", directory], check=True)


@pytest.mark.e2e
@pytest.mark.parametrize("mode", ["--workers=2", "--single-process"])
def test_a_read_only_directory_is_refused(read_only: Path, mode: str):
    assert "mounted read-only" in refusal(read_only, mode)


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_refused(directory: Path):
    state_dir.prepare(directory)
    directory.chmod(0o500)
    assert "can't be written to" in refusal(directory)


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_owner_is_refused_also_by_root(directory: Path):
    directory.mkdir()
    os.chown(directory, 12345, -1)
    assert "belongs to user 12345" in refusal(directory)
    assert not list(directory.iterdir())


@pytest.mark.e2e
def test_records_of_a_newer_release_are_refused_and_left_alone(directory: Path):
    state_dir.prepare(directory)
    Store(directory / "jobs.db").close()
    with closing(sqlite3.connect(directory / "jobs.db")) as db:
        db.execute("PRAGMA user_version = 1000")
    said = refusal(directory)
    assert "schema version 1000" in said
    assert "as new as" in said
    with closing(sqlite3.connect(directory / "jobs.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1000,)


@pytest.mark.e2e
def test_a_second_service_is_refused_and_the_first_untouched(directory: Path):
    with running(directory) as service:
        said = refusal(directory)
        assert f"in use by another service (pid {service.process.pid})" in said
        assert "JOBRUNNER_STATE_DIR" in said
        assert service.run("true")["ExitCode"] == 0


@pytest.mark.e2e
def test_a_file_in_its_place_is_refused(directory: Path):
    directory.write_text("")
    assert "can't be used" in refusal(directory)


def test_it_is_made_with_what_is_missing_above_it(tmp_path: Path):
    made = tmp_path / "a" / "b"
    state_dir.prepare(made)
    state_dir.prepare(made)
    assert made.stat().st_mode & 0o777 == state_dir.DIRECTORY_MODE
    assert (made / "jobs").is_dir()


def test_who_holds_it_is_known_and_asking_takes_nothing(directory: Path):
    state_dir.prepare(directory)
    assert state_dir.holder(directory) is None
    lock = state_dir.hold(directory)
    assert state_dir.holder(directory) == os.getpid()
    with pytest.raises(state_dir.StateDirError, match=str(os.getpid())):
        state_dir.hold(directory)
    os.close(lock)
    assert state_dir.holder(directory) is None
    os.close(state_dir.hold(directory))

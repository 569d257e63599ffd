"""A start that fails says why, and never ends with status 0, however the service is started."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from running import running

from service.store import Store

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WAYS = {
    "sanic": ("-m", "sanic", "service.app"),
    "single process": ("-m", "sanic", "service.app", "--single-process"),
    "factory": ("-m", "sanic", "service.app:create_app", "--factory"),
    "serve": ("-m", "service", "serve"),
}


def failed(state_dir: Path, way: str, *python: str, **options: object) -> tuple[int, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBRUNNER_")}  # noqa: TID251 - what a person's shell would pass
    more = options.pop("environment", {})
    assert isinstance(more, dict)
    ended = subprocess.run(
        [sys.executable, *python, *WAYS[way]],
        env={**inherited, "JOBRUNNER_STATE_DIR": str(state_dir), "JOBRUNNER_PORT": "0", **more},
        cwd=state_dir.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("way", WAYS)
def test_damaged_records_are_told_with_status_2(tmp_path: Path, way: str):
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    path = state_dir / "jobs.db"
    Store(path).close()
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)
    status, said = failed(state_dir, way)
    assert status == 2
    assert f"The records in {path} can't be opened" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("way", WAYS)
def test_any_other_error_at_the_start_is_shown_with_status_1(tmp_path: Path, way: str):
    # Nothing a person could do to the state directory is known that isn't foreseen.
    (tmp_path / "sitecustomize.py").write_text(
        "import service.state_dir\n"
        "def fail(_path):\n"
        "    raise ValueError('nobody has foreseen this')\n"
        "service.state_dir.prepare = fail\n"
    )
    status, said = failed(tmp_path / "state", way, environment={"PYTHONPATH": str(tmp_path)})
    assert status == 1
    assert "nobody has foreseen this" in said


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_cant_start_ends_the_service_with_an_error(tmp_path: Path, way: str):
    (tmp_path / "sitecustomize.py").write_text(
        "import service.output.watcher\n"
        "def fail(_self):\n"
        "    raise ValueError('nobody has foreseen this')\n"
        "service.output.watcher.LogWatcher.open = fail\n"
    )
    status, said = failed(tmp_path / "state", way, environment={"PYTHONPATH": str(tmp_path)})
    assert status != 0
    assert "nobody has foreseen this" in said


@pytest.mark.parametrize("way", ["serve", "single process"])
def test_a_port_that_is_taken_is_told_and_leaves_no_socket(tmp_path: Path, way: str):
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = {"JOBRUNNER_PORT": port, "JOBRUNNER_SOCKET": str(path)}
        status, said = failed(tmp_path / "state", way, environment=environment)
    where = f"127.0.0.1:{port} (JOBRUNNER_PORT, --port)"
    assert status == 1
    assert f"jobrunner: can't listen on {where}: Address already in use.\n" in said
    assert "Traceback" not in said
    assert not path.exists()


def test_with_too_few_descriptors_it_does_not_start(tmp_path: Path):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    status, said = failed(tmp_path / "state", "sanic", preexec_fn=few)
    assert status == 2
    assert "may open 64 files" in said
    assert not (tmp_path / "state").exists()


def test_readiness_tells_when_submissions_are_refused_for_want_of_descriptors(tmp_path: Path):
    begin = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128));"
        "os.execv(sys.executable, [sys.executable, '-m', 'sanic', 'service.app', *sys.argv[1:]])"
    )
    with running(tmp_path / "state", command=("-c", begin)) as service:
        jobs = []
        while (
            answer := service.client.post("/", json={"CommandLine": "exec sleep 1000"})
        ).is_success:
            jobs.append(answer.json()["ID"])
        assert answer.status_code == 503
        ready = service.client.get("/health/ready")
        assert ready.status_code == 503
        assert "descriptors" in ready.json()["checks"]["descriptors"]["Why"]
        for job_id in jobs:
            service.kill(job_id, grace="0", wait="true")

"""What a request for a signal is told, whichever worker it reaches, and whatever dies after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from answers import assert_problem
from gates import lines
from running import Service, running

pytestmark = pytest.mark.e2e

UNKNOWN = "00000000-0000-4000-8000-000000000000"
TRAP = "trap 'echo got' HUP; bash -c 'echo ready; exec sleep 600' & wait; wait; echo over"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It runs one job at a time."""
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, workers=2, environment={"JOBRUNNER_MAX_RUNNING": "1"}) as service:
        yield service


def send(service: Service, job_id: str) -> None:
    answer = service.client.post(f"/{job_id}/signal", params={"signal": "HUP"})
    assert answer.json() == {"ID": job_id, "Signal": "SIGHUP", "Processes": 2}


def refused(service: Service, job_id: str, status: int, **query: str) -> str:
    answer = service.client.post(f"/{job_id}/signal", params=query)
    problem = assert_problem(answer, status)
    return f"{problem['type'].rpartition(':')[2]}: {problem['detail']}"


def test_a_pending_job_has_no_process_yet(service: Service):
    first = service.submit("exec sleep 600")
    job_id = service.submit("true")
    assert refused(service, job_id, 409, signal="HUP") == (
        f"job_not_running: The job {job_id} is pending: it has no process yet."
    )
    service.kill(first, grace=0, wait="true")


def test_a_finished_job_has_none_any_more(service: Service):
    job_id = service.run("true")["ID"]
    assert refused(service, job_id, 409, signal="HUP") == (
        f"job_not_running: The job {job_id} is exited: it has no process any more."
    )


def test_an_unknown_job_is_not_found(service: Service):
    assert "unknown_job" in refused(service, UNKNOWN, 404, signal="HUP")
    assert "unknown_job" in refused(service, "no-id", 404, signal="HUP")


@pytest.mark.parametrize("name", ["", "hup", "1", "NONE", "SIGSIGHUP", "RTMIN+99"])
def test_what_is_no_signal_is_refused(service: Service, name: str):
    told = refused(service, UNKNOWN, 400, signal=name)
    assert "expected a signal's name, as TERM, SIGINT or RTMIN+1" in told
    assert repr(name) in told


def test_a_parameter_that_does_not_exist_is_refused(service: Service):
    assert "'too'" in refused(service, UNKNOWN, 400, too="foreground")


def test_it_is_audited_and_logged(service: Service):
    job_id = service.submit(TRAP)
    assert lines(service, job_id, 1) == ["ready"]
    send(service, job_id)
    assert service.wait(job_id)["ExitCode"] == 0
    service.client.post(f"/{job_id}/signal")
    log = (service.state_dir / "audit.log").read_text().splitlines()
    entries = [json.loads(line) for line in log if job_id in line]
    assert [e["action"] for e in entries if e["action"] != "attach"] == [
        "submit",
        "signal",
        "signal",
    ]
    (told,) = [line for line in service.lines if "job_signalled" in line]
    assert job_id in told
    assert "SIGHUP" in told


def test_a_draining_service_sends_it(service: Service):
    job_id = service.submit(TRAP)
    assert lines(service, job_id, 1) == ["ready"]
    environment = {**os.environ, "JOBRUNNER_STATE_DIR": str(service.state_dir)}  # noqa: TID251 - an operator's shell
    for command in ("drain", "resume"):
        subprocess.run([sys.executable, "-m", "service", command], env=environment, check=True)
        if command == "drain":
            assert service.client.post("/", json={"CommandLine": "true"}).status_code == 503
            send(service, job_id)
    assert service.wait(job_id)["State"] == "exited"
    assert service.output(job_id) == b"ready\ngot\nover\n"


def test_a_worker_that_is_killed_just_after_it_changes_nothing(service: Service) -> None:
    job_id = service.submit(TRAP)
    assert lines(service, job_id, 1) == ["ready"]
    send(service, job_id)
    workers = service.worker_pids()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    service.wait_for_line("worker_ready", 2 * len(workers))
    view = service.wait(job_id)
    assert (view["State"], view["ExitCode"]) == ("exited", 0)
    assert service.output(job_id) == b"ready\ngot\nover\n"

"""A stop that nobody asked for: a process of the service dies, or the main process fails. No job is
ended by it, and the next service goes on with them.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gates import Gate, lines
from running import Service, again, running
from waiting import until
from watching import Watched, in_session

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BREAKABLE: dict[str, Any] = {
    "command": ("-m", "sanic", "breakable:make", "--factory"),
    "environment": {"PYTHONPATH": str(Path(__file__).parents[1] / "tools" / "apps")},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner", workers=2) as service:
        yield service


def waiting_job(service: Service, gate: Gate) -> str:
    """One that runs until the gate is opened; the answer is 42."""
    job_id = service.submit(f"echo begun; read -r _ < {gate}; exit 42")
    assert lines(service, job_id, 1) == ["begun"]
    return job_id


def helpers(service: Service) -> dict[str, int]:
    """The processes of the service that are neither main nor workers, by what they run."""
    found = {}
    for pid in set(in_session(service.process.pid)) - {service.process.pid, *service.worker_pids()}:
        with contextlib.suppress(FileNotFoundError):  # it has ended
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found[command] = pid
    return found


def helper(service: Service) -> tuple[str, int]:
    """The only one, once what started the supervisor has ended."""
    until(lambda: len(helpers(service)) == 1)
    ((command, pid),) = helpers(service).items()
    return command, pid


def test_the_only_helper_of_main_is_a_resource_tracker(service: Service):
    command, _ = helper(service)
    assert "resource_tracker" in command


def test_no_job_is_ended_by_the_death_of_a_helper_and_workers_are_still_replaced(
    service: Service, gate: Gate
):
    job_id = waiting_job(service, gate)
    _, pid = helper(service)
    with Watched([pid]) as watched:
        watched.signal(signal.SIGKILL)
        watched.wait_gone()
    workers = len(service.worker_pids())
    os.kill(service.worker_pids()[-1], signal.SIGKILL)  # a new one is spawned without the helper
    service.wait_for_line("worker_ready", workers + 1)
    assert service.process.poll() is None
    assert service.show(job_id)["State"] == "running"
    gate.open()
    assert service.wait(job_id)["ExitCode"] == 42


def test_no_job_is_ended_by_the_deaths_of_all_workers(service: Service, gate: Gate):
    job_id = waiting_job(service, gate)
    before = service.worker_pids()
    with Watched(before, some_ended=True) as workers:
        workers.signal(signal.SIGKILL)
    service.wait_for_line("worker_ready", len(before) + 2)
    assert service.show(job_id)["State"] == "running"
    gate.open()
    assert service.wait(job_id)["ExitCode"] == 42


def test_main_that_is_killed_leaves_the_jobs_to_the_next_service(state_dir: Path, gate: Gate):
    with running(state_dir, workers=2) as service:
        job_id = waiting_job(service, gate)
        with Watched(in_session(service.process.pid)) as processes:
            service.process.kill()
            processes.wait_gone()
        with again(service) as successor:
            assert successor.show(job_id)["State"] == "running"
            gate.open()
            assert successor.wait(job_id)["ExitCode"] == 42


@pytest.mark.parametrize("how", ["fail-main", "end-main"])
def test_main_that_fails_leaves_the_jobs_to_the_next_service(state_dir: Path, gate: Gate, how: str):
    with running(state_dir, workers=2, **BREAKABLE) as service:
        running_id = waiting_job(service, gate)
        with Watched(in_session(service.process.pid)) as processes:
            assert service.client.post(f"/{how}").status_code == 200
            assert service.process.wait(300) == 1
            processes.wait_gone()
        service.wait_for_line("stopped_by_failure")
        if how == "fail-main":
            service.wait_for_line("main_failed")
            service.wait_for_line("Cannot scale to 0 workers")
        with again(service) as successor:
            assert successor.show(running_id)["State"] == "running"
            gate.open()
            assert successor.wait(running_id)["ExitCode"] == 42


def test_a_worker_that_cant_be_spawned_is_spawned_once_it_can(state_dir: Path, gate: Gate):
    """The host has no descriptor left for main: nothing ends, and the service heals by itself."""
    with running(state_dir, workers=2) as service:
        job_id = waiting_job(service, gate)
        pid = service.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        service.wait_for_line("worker_not_spawned")
        assert service.process.poll() is None
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        service.wait_for_line("worker_ready", 3)
        gate.open()
        assert service.wait(job_id)["ExitCode"] == 42
        until(lambda: service.client.get("/health/ready").status_code == 200)

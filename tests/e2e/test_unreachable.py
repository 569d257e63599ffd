"""A supervisor without its socket, one that is stopped, a copy of the state directory, and what is left
when main and workers are killed at once.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from gates import lines
from running import Service, running
from watching import Watched, in_session, of_jobs

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def supervisors_of(state_dir: Path) -> list[int]:
    """Supervisors and candidates, as `ps` tells them."""
    found = []
    for name in os.listdir("/proc"):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"service.supervisor" in words and os.fsencode(state_dir) in words:
            found.append(int(name))
    return found


def unlink_socket(service: Service) -> None:
    (service.state_dir / "supervisor.sock").unlink()


def stop_supervisor(service: Service) -> None:
    os.kill(service.supervisor_pid(), signal.SIGSTOP)


def do_both(service: Service) -> None:
    unlink_socket(service)
    stop_supervisor(service)


SABOTAGE = [unlink_socket, stop_supervisor, do_both]


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_a_new_worker_reaches_the_same_supervisor(state_dir: Path, sabotage):
    with running(state_dir, workers=1) as service:
        job = service.submit("echo begun; read -r _ < <(sleep 1000); exit 3")
        assert lines(service, job, 1) == ["begun"]
        supervisor = service.supervisor_pid()
        sabotage(service)
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        service.wait_for_line("supervisor_connected", 2)
        assert service.run("exit 7")["ExitCode"] == 7
        assert service.show(job)["State"] == "running"
        with Watched(set(supervisors_of(state_dir)) - {supervisor}, some_ended=True) as candidates:
            candidates.wait_gone()
        assert supervisors_of(state_dir) == [supervisor]
        assert service.kill(job, wait="true", grace=0)["State"] == "killed"
        assert service.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_a_service_that_ends_ends_its_jobs_and_the_next_one_starts(state_dir: Path, sabotage):
    with running(state_dir, workers=1) as service:
        job = service.submit("echo begun; exec sleep 1000")
        assert lines(service, job, 1) == ["begun"]
        with Watched([*of_jobs([job]), service.supervisor_pid()]) as processes:
            sabotage(service)
            assert service.stop() == 0, "\n".join(service.lines)
            processes.wait_gone()
    with running(state_dir) as service:
        view = service.wait(job)
        assert (view["State"], view["Reason"]) == ("killed", "shutdown")


@pytest.mark.parametrize("cgroup", ["off", pytest.param("auto", marks=pytest.mark.cgroup)])
@pytest.mark.parametrize("place", ["elsewhere", "same path"])
def test_serving_a_copy_of_the_state_directory_leaves_the_originals_jobs_alone(
    tmp_path: Path, cgroup: str, place: str
):
    settings = {"JOBRUNNER_CGROUP": cgroup}
    original = tmp_path / "state"
    with running(original, environment=settings) as service:
        job = service.submit("setsid sleep 1000 & echo begun; read -r _ < <(sleep 1000)")
        assert lines(service, job, 1) == ["begun"]
        copy = tmp_path / "copy"
        shutil.copytree(
            original, copy, ignore=lambda _, names: [n for n in names if n.endswith(".sock")]
        )
        if place == "same path":
            original.rename(tmp_path / "moved")
            copy.rename(original)
            copy = original
        with Watched(of_jobs([job])) as processes:
            with running(copy, environment=settings) as other:
                view = other.wait(job)
                assert (view["State"], view["Reason"]) == ("killed", "lost")
                assert other.run("exit 4")["ExitCode"] == 4
            assert len(processes.alive()) >= 3
        if place == "same path":
            shutil.rmtree(original)
            (tmp_path / "moved").rename(original)
        assert service.show(job)["State"] == "running"
        assert service.kill(job, wait="true", grace=0)["State"] == "killed"


def test_no_helper_is_left_when_main_and_workers_are_killed_at_once(state_dir: Path):
    with running(state_dir, workers=2) as service:
        everybody = in_session(service.process.pid)
        killed = [service.process.pid, *service.worker_pids()]
        with Watched(everybody) as processes, Watched(killed) as victims:
            victims.signal(signal.SIGSTOP)  # so that none of them can tell another
            victims.signal(signal.SIGKILL)
            processes.wait_gone()


def test_a_supervisor_that_dies_while_jobs_are_taken_over_is_followed_at_once(state_dir: Path):
    many = 200
    with running(state_dir, environment={"JOBRUNNER_MAX_RUNNING": str(many)}) as service:
        jobs = [service.submit("exec sleep 1000") for _ in range(many)]
        os.kill(service.supervisor_pid(), signal.SIGKILL)
        service.wait_for_line("job_ended_by_recovery")
        os.kill(service.supervisor_pid(), signal.SIGKILL)
        assert {service.wait(job)["Reason"] for job in jobs} == {"lost"}
        service.wait_for_line("recovery_failed")
        # Asked again it would wait for the connection that is made only after the recovery.
        assert not any("request_repeated" in line for line in service.lines)

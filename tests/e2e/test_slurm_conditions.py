"""Commands on a cluster where not all is as it should be: other users, wrappers, a slow controller, many that sleep."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import job, outcome
from gates import Gate, attached
from running import Service, running
from slurm import Cluster, cluster_or_skip, slurm
from waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slurm, pytest.mark.slow]

USER = "nobody"
# Seconds in which a supervisor that does nothing is looked at, and how often it may wake meanwhile: for its own
# heartbeats and the like, less than once a second.
LOOKED_AT_S = 5.0
WAKES = 20
# Steps that sleep then. Each has three processes, of about 20 MB together.
SLEEPERS = 100


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster whose controller is stopped here."""
    with cluster_or_skip() as cluster:
        yield cluster


@pytest.fixture
def place(tmp_path: Path, cluster: Cluster) -> Path:
    """A directory that everybody may pass through; the cluster's has its configuration."""
    for path in (tmp_path, cluster.folder):
        for directory in (path, *path.parents):
            if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
                directory.chmod(directory.stat().st_mode | 0o011)
    return tmp_path


def test_a_step_runs_as_the_jobs_user(place: Path, cluster: Cluster):
    cluster.folder.parent.chmod(0o711)
    cluster.folder.chmod(0o711)
    environment = {**cluster.environment, "JOBRUNNER_RUN_AS": USER}
    with running(place / "state", environment=environment) as service:
        view = service.run(
            job(slurm("id -un; touch mine; stat -c %U mine; echo $HOME"), "stat -c %U mine")
        )
        assert [command["ExitCode"] for command in view["Commands"]] == [0, 0]
        assert service.output(view["ID"]).decode().split()[::3] == [USER, USER]
        job_id = service.submit(job(slurm("trap '' TERM; echo ready; sleep 1000"), Grace=1))
        with attached(service, job_id, stream="stdout") as output:
            assert next(output) == "ready"
        service.kill(job_id, wait="true")
        assert service.show(job_id)["Kill"]["VerifiedGone"]
        assert cluster.jobs(job_id) == []


def test_a_wrapper_that_prints_more_changes_no_end(tmp_path: Path, cluster: Cluster):
    wrapper = tmp_path / "srun"
    real = shutil.which("srun")
    wrapper.write_text(f'#!/bin/sh\necho "this cluster is down on Monday" >&2\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    environment = {**cluster.environment, "JOBRUNNER_SRUN": str(wrapper)}
    with running(tmp_path / "jobrunner", environment=environment) as service:
        view = service.run(job(slurm("echo out; exit 7")))
        assert (outcome(view), view["Error"]) == (("exited", 7, None), None)
        assert service.output(view["ID"], stream="stdout") == b"out\n"
        assert service.output(view["ID"], stream="stderr") == b"this cluster is down on Monday\n"


def test_a_controller_that_does_not_answer_for_a_while_is_waited_for(
    tmp_path: Path, own_cluster: Cluster, gate: Gate
):
    with running(tmp_path / "jobrunner", environment=own_cluster.environment) as service:
        line = f"echo ready; read -r _ < {gate.path}; echo end; exit 7"
        job_id = service.submit(job(slurm(line)))
        with attached(service, job_id, stream="stdout") as output:
            assert next(output) == "ready"
            controller = own_cluster.daemons["slurmctld"]
            controller.send_signal(signal.SIGSTOP)
            try:
                gate.open()
                assert next(output) == "end"
                # All else goes on meanwhile, and a view doesn't wait for what only the controller knows.
                assert service.show(job_id)["State"] == "running"
                assert service.run("echo beside")["ExitCode"] == 0
            finally:
                controller.send_signal(signal.SIGCONT)
        assert outcome(service.wait(job_id)) == ("exited", 7, None)


def test_a_controller_that_is_down_is_told_and_commands_say_so(
    tmp_path: Path, own_cluster: Cluster
):
    with running(tmp_path / "jobrunner", environment=own_cluster.environment) as service:
        until(lambda: told(service)["Usable"] is True)
        own_cluster.end("slurmctld")
        until(lambda: told(service)["Usable"] is False)
        assert "Slurm" in str(told(service)["Error"]) or "scontrol" in str(told(service)["Error"])
        assert service.run("echo all else")["ExitCode"] == 0
        own_cluster.start_controller()
        until(lambda: told(service)["Usable"] is True)
        own_cluster.wait_idle()
        assert service.run(job(slurm("exit 3")))["ExitCode"] == 3


def told(service: Service) -> dict[str, object]:
    found: dict[str, object] = service.client.get("/health/ready").json()["Kinds"]["slurm"]
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't installed")
def test_the_supervisor_is_quiet_while_a_hundred_steps_sleep_and_others_wait(tmp_path: Path):
    count = SLEEPERS + 8  # the last ones wait for a node
    with (
        cluster_or_skip(processors=SLEEPERS) as cluster,
        running(
            tmp_path / "jobrunner",
            environment={**cluster.environment, "JOBRUNNER_MAX_RUNNING": str(count)},
        ) as service,
    ):
        jobs = [service.submit(job(slurm("echo ready; sleep 1000"), Grace=0)) for _ in range(count)]
        running_ones = "squeue", "-h", "-t", "RUNNING", "-o", "%j"
        until(lambda: len(cluster.says(*running_ones).split()) == SLEEPERS)
        until(lambda: sum(service.show(j)["Output"]["Bytes"] for j in jobs) == SLEEPERS * 6)
        until(lambda: len(cluster.jobs()) == count)
        trace = tmp_path / "trace"
        strace = ["strace", "-f", "-o", str(trace), "-p", str(service.supervisor_pid())]
        with subprocess.Popen(strace, stderr=subprocess.PIPE) as tracer:
            assert tracer.stderr is not None
            assert b"attached" in tracer.stderr.readline()
            select.select([], [], [], LOOKED_AT_S)
            tracer.terminate()
        calls = [line for line in trace.read_text().splitlines() if "restart_syscall" not in line]
        waits = [line for line in calls if "epoll_wait(" in line or "<... epoll_wait" in line]
        assert len(waits) <= WAKES, calls
        assert not [line for line in calls if "execve(" in line]
        service.client.delete("/", params={"state": "all", "grace": "0"})
        for job_id in jobs:
            service.kill(job_id, grace="0", wait="true")
        assert cluster.jobs() == []


def test_what_a_step_leaves_running_ends_with_it(cluster: Cluster, tmp_path: Path):
    with running(tmp_path / "jobrunner", environment=cluster.environment) as service:
        view = service.run(job(slurm("setsid sleep 1000 & echo $!")))
        assert outcome(view) == ("exited", 0, None)
        pid = int(service.output(view["ID"], stream="stdout"))
        # It is Slurm's to end, with the step.
        until(lambda: not os.path.exists(f"/proc/{pid}") or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True

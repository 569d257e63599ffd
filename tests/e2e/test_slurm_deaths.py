"""Commands on a cluster under the death of everything around them: srun, the service, the supervisor, the daemons."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import command_line, job, outcome
from gates import Gate, attached
from running import Service, again, running
from slurm import Cluster, cluster_or_skip, slurm
from waiting import until
from watching import Watched, of_jobs

pytestmark = [pytest.mark.e2e, pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster whose daemons are stopped and killed here; a silent node is down soon."""
    with cluster_or_skip(node_timeout=10) as cluster:
        yield cluster


@pytest.fixture
def service(tmp_path: Path, own_cluster: Cluster) -> Iterator[Service]:
    with running(tmp_path / "jobrunner", environment=own_cluster.environment, workers=1) as service:
        yield service


def started(service: Service, gate: Gate, code: int = 7, **keys: object) -> str:
    """A job whose step has said `ready`, and ends with `code` once the gate is opened."""
    line = f"echo ready; read -r _ < {gate.path}; echo end; exit {code}"
    job_id = service.submit(job(slurm(line, **keys)))
    with attached(service, job_id, stream="stdout") as output:
        assert next(output) == "ready"
    return job_id


def srun_of(job_id: str) -> list[int]:
    return [pid for pid in of_jobs([job_id]) if b"--job-name=" in command_line(pid)]


def test_the_death_of_the_workers_and_of_the_service_changes_nothing(
    service: Service, own_cluster: Cluster, gate: Gate
):
    job_id = started(service, gate)
    service.crash()
    assert own_cluster.state(f"jr-{job_id}-0") == "RUNNING"
    with again(service) as next_one:
        assert own_cluster.state(f"jr-{job_id}-0") == "RUNNING"
        gate.open()
        view = next_one.wait(job_id)
        assert (view["State"], outcome(view), view["Error"]) == (
            "exited",
            ("exited", 7, None),
            None,
        )
        assert next_one.output(job_id, stream="stdout") == b"ready\nend\n"
        assert view["Output"]["Complete"]
    assert own_cluster.jobs(job_id) == []


def test_what_a_dead_supervisor_left_is_cancelled_and_lost(
    service: Service, own_cluster: Cluster, gate: Gate
):
    job_id = started(service, gate)
    mine = started(service, gate)
    with Watched([service.supervisor_pid()]) as supervisor:
        supervisor.signal(signal.SIGKILL)
        supervisor.wait_gone()
    view = service.wait(job_id)
    assert (view["State"], view["Reason"]) == ("killed", "lost")
    until(lambda: own_cluster.jobs(job_id) == [] and own_cluster.jobs(mine) == [])
    assert service.run("echo goes on")["ExitCode"] == 0


def test_the_jobs_of_another_service_on_the_cluster_are_left_alone(
    service: Service, own_cluster: Cluster, gate: Gate, tmp_path: Path
):
    job_id = started(service, gate)
    other = tmp_path / "other"
    other.mkdir()
    with running(other / "jobrunner", environment=own_cluster.environment) as another:
        view = another.run(job(slurm("true")))
        assert view["ExitCode"] == 0
        another.crash()
        with again(another):
            assert own_cluster.state(f"jr-{job_id}-0") == "RUNNING"
    gate.open()
    assert service.wait(job_id)["ExitCode"] == 7


def test_a_step_whose_srun_was_killed_is_cancelled_and_told(
    service: Service, own_cluster: Cluster, gate: Gate
):
    job_id = started(service, gate)
    clients = srun_of(job_id)
    assert clients
    with Watched(clients) as srun:
        srun.signal(signal.SIGKILL)
        srun.wait_gone()
    view = service.wait(job_id)
    # Slurm notices it before or after it is asked: the step has ended by a signal then, or runs.
    assert (view["State"], view["ExitCode"]) == ("exited", None)
    assert "srun ended (signal 9)" in view["Error"]
    assert view["Output"]["Complete"] is False
    assert own_cluster.jobs(job_id) == []


def test_a_restart_of_the_controller_loses_nothing(
    service: Service, own_cluster: Cluster, gate: Gate
):
    job_id = started(service, gate)
    own_cluster.end("slurmctld", signal.SIGTERM)
    gate.open()
    with attached(service, job_id, stream="stdout") as output:
        assert [next(output), next(output)] == ["ready", "end"]
    own_cluster.start_controller()
    view = service.wait(job_id)
    assert (view["State"], outcome(view), view["Error"]) == ("exited", ("exited", 7, None), None)
    assert view["Commands"][0]["SlurmJobID"].isdecimal()
    until(lambda: own_cluster.jobs(job_id) == [])


def test_a_node_that_dies_is_told(service: Service, own_cluster: Cluster):
    node = own_cluster.nodes[0]
    job_id = service.submit(job(slurm("echo $PPID; exec sleep 1000", Partition="one")))
    with attached(service, job_id, stream="stdout") as output:
        slurmstepd = int(next(output))
    with Watched([slurmstepd]) as of_step:  # it is on this host
        own_cluster.kill_node(node)
        of_step.signal(signal.SIGKILL)
        of_step.wait_gone()
    view = service.wait(job_id)
    assert (view["State"], outcome(view)[0]) == ("exited", "exited")
    assert view["Commands"][0]["Error"] is not None
    own_cluster.start_node(node)
    own_cluster.wait_idle()


def test_a_node_whose_daemon_alone_dies_is_told(service: Service, own_cluster: Cluster):
    node = own_cluster.nodes[0]
    job_id = service.submit(job(slurm("echo $PPID; exec sleep 1000", Partition="one")))
    with attached(service, job_id, stream="stdout") as output:
        slurmstepd = int(next(output))
    own_cluster.kill_node(node)
    view = service.wait(job_id)
    assert (view["State"], outcome(view)[0]) == ("exited", "exited")
    expected = "Slurm ended the job (NODE_FAIL): a node that it ran on has failed."
    assert view["Commands"][0]["Error"] == expected
    with Watched([slurmstepd], some_ended=True) as of_step:
        of_step.signal(signal.SIGKILL)
        of_step.wait_gone()
    own_cluster.start_node(node)
    own_cluster.wait_idle()

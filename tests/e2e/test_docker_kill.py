"""A kill reaches the container, whatever is dead already, and leaves none behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from containers import client_of, docker, job, outcome
from dockerd import Dockerd
from gates import attached
from registry import serving
from running import Service, running
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.slow]

DEAF = "trap '' TERM; echo ready; while :; do sleep 1000; done"


@pytest.fixture(
    scope="module",
    params=["walk", pytest.param("cgroup", marks=pytest.mark.cgroup)],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd
) -> Iterator[Service]:
    """A service that finds a job's processes in the one way, and in the other."""
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    setting = {"walk": "off", "cgroup": "auto"}[request.param]
    environment = {**dockerd.environment, "JOBRUNNER_CGROUP": setting}
    with running(state_dir, workers=2, environment=environment) as service:
        yield service


def started(service: Service, line: str, *more: str) -> str:
    """A job whose container has said `ready`."""
    job_id = service.submit(job(docker(line), *more))
    with attached(service, job_id) as output:
        assert next(output) == "ready"
    return job_id


def process_of(dockerd: Dockerd, job_id: str) -> Watched:
    """The first process of the job's container, as this box sees it."""
    return Watched([dockerd.about(f"jobrunner-{job_id}-0")["State"]["Pid"]])


def test_the_signal_reaches_the_containers_processes(service: Service, dockerd: Dockerd):
    job_id = started(service, "trap 'echo got it; exit 3' TERM; echo ready; sleep 1000 & wait")
    with process_of(dockerd, job_id) as process:
        assert service.kill(job_id, wait="true")["State"] == "killed"
        assert process.alive() == []
    view = service.show(job_id)
    assert outcome(view) == ("killed", 3, None)
    assert service.output(job_id) == b"ready\ngot it\n"
    assert (view["Kill"]["Escalated"], view["Kill"]["VerifiedGone"]) == (False, True)
    assert view["Output"]["Complete"]
    assert dockerd.containers(job_id) == []


def test_a_command_that_dies_of_the_signal_says_so(service: Service):
    job_id = started(service, "echo ready; exec sleep 1000", "echo more")
    service.kill(job_id, signal="INT", wait="true")
    view = service.show(job_id)
    assert (view["State"], outcome(view)) == ("killed", ("killed", None, "SIGINT"))
    assert outcome(view, 1) == ("skipped", None, None)


@pytest.mark.parametrize("grace", [0, 0.2])
def test_what_ignores_the_signal_is_killed_after_the_grace(
    service: Service, dockerd: Dockerd, grace: float
):
    job_id = started(service, DEAF)
    with process_of(dockerd, job_id) as process:
        service.kill(job_id, grace=grace, wait="true")
        assert process.alive() == []
    view = service.show(job_id)
    assert outcome(view) == ("killed", None, "SIGKILL")
    assert (view["Kill"]["Escalated"], view["Kill"]["VerifiedGone"]) == (grace > 0, True)
    assert dockerd.containers(job_id) == []


def test_a_timeout_ends_the_container(service: Service, dockerd: Dockerd):
    view = service.run(job(docker(DEAF), Timeout=1, Grace=0.1))
    assert (view["State"], view["Reason"]) == ("killed", "timeout")
    assert dockerd.containers(view["ID"]) == []


def test_killed_at_once_after_its_submission_nothing_is_left(service: Service, dockerd: Dockerd):
    """The client is killed at any moment of its start, while the daemon makes the container."""
    ids = []
    for number in range(6):
        ids.append(service.submit(job(docker("exec sleep 1000"))))
        service.kill(ids[-1], grace=number % 2 * 5)
    for job_id in ids:
        view = service.wait(job_id)
        assert view["State"] == "killed"
        assert view["Kill"]["VerifiedGone"]
        assert dockerd.containers(job_id) == []


def test_killed_during_the_pull(service: Service, dockerd: Dockerd):
    with serving() as registry:
        job_id = service.submit(job(docker(Image=registry.image)))
        assert registry.asked.wait(300)
        assert service.kill(job_id, wait="true")["State"] == "killed"
    view = service.show(job_id)
    assert outcome(view) == ("killed", None, "SIGTERM")
    assert view["Kill"]["VerifiedGone"]
    assert dockerd.containers(job_id) == []


def test_killed_after_the_client_was(service: Service, dockerd: Dockerd):
    """TERM reaches the container all the same, and bytes may be missing."""
    line = "trap 'echo got it; exit 3' TERM; echo ready; sleep 1000 & wait"
    job_id = started(service, line)
    with process_of(dockerd, job_id) as process, Watched([client_of(job_id)]) as client:
        client.signal(signal.SIGKILL)
        client.wait_gone()
        assert service.kill(job_id, wait="true")["State"] == "killed"
        assert process.alive() == []
    view = service.show(job_id)
    assert outcome(view) == ("killed", 3, None)
    assert view["Kill"]["VerifiedGone"]
    assert not view["Output"]["Complete"]
    assert dockerd.containers(job_id) == []


def test_killed_at_once_after_the_client_was(service: Service, dockerd: Dockerd):
    job_id = started(service, DEAF)
    with process_of(dockerd, job_id) as process, Watched([client_of(job_id)]) as client:
        client.signal(signal.SIGKILL)
        service.kill(job_id, grace=0, wait="true")
        assert process.alive() == []
    view = service.show(job_id)
    assert outcome(view) == ("killed", None, "SIGKILL")
    assert view["Kill"]["VerifiedGone"]
    assert dockerd.containers(job_id) == []


def test_killed_while_a_later_command_runs_leaves_no_container(service: Service, dockerd: Dockerd):
    job_id = service.submit(job(docker("true"), docker(DEAF)))
    with attached(service, job_id) as output:
        assert next(output) == "ready"
    service.kill(job_id, grace=0, wait="true")
    view = service.show(job_id)
    assert [outcome(view, n)[0] for n in (0, 1)] == ["exited", "killed"]
    assert dockerd.containers(job_id) == []

"""A signal that is no kill reaches what runs in a container, or is refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import pytest
from answers import assert_problem
from containers import client_of, docker, job, outcome
from dockerd import Dockerd
from gates import attached
from running import Service, running
from waiting import until
from watching import Watched

from service.jobs.record import signal_name

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.slow, pytest.mark.once]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, environment=dockerd.environment) as service:
        yield service


def send(service: Service, job_id: str, name: str) -> httpx.Response:
    return service.client.post(f"/{job_id}/signal", params={"signal": name})


def test_a_signal_reaches_the_containers_command_if_docker_passes_it_on(service: Service):
    """Every signal is sent: one that isn't refused runs its trap, once."""
    numbers = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
    traps = "; ".join(f"trap 'echo got {number}' {number}" for number in numbers)
    line = f"{traps}; sleep 1000 & echo ready; while :; do wait; done"
    job_id = service.submit(job(docker(line)))
    refused = set()
    with attached(service, job_id) as output:
        assert next(output) == "ready"
        for number in sorted(signal.valid_signals()):
            answer = send(service, job_id, signal_name(number))
            if answer.status_code == 200:
                assert answer.json()["Processes"] == 1
                assert next(output) == f"got {number}"
            else:
                problem = assert_problem(answer, 409)
                assert problem["type"].endswith(":signal_not_passed_on")
                assert signal_name(number) in problem["detail"]
                refused.add(signal_name(number).removeprefix("SIG"))
        service.kill(job_id, grace=0, wait="true")
        assert list(output) == []
    assert " ".join(sorted(refused)) == (
        "ABRT BUS CHLD FPE ILL KILL PIPE PROF RTMIN SEGV STOP SYS TRAP TTIN TTOU URG"
    )


def test_a_container_that_dies_of_it_has_exited(service: Service, dockerd: Dockerd):
    first = {**docker("echo ready; exec sleep 1000"), "ContinueOnFailure": True}
    job_id = service.submit(job(first, docker("echo next")))
    with attached(service, job_id) as output:
        assert next(output) == "ready"
        assert send(service, job_id, "HUP").status_code == 200
    view = service.wait(job_id)
    assert (view["State"], view["Kill"]) == ("exited", None)
    assert [outcome(view, n) for n in (0, 1)] == [("exited", None, "SIGHUP"), ("exited", 0, None)]
    assert dockerd.containers(job_id) == []


def test_it_reaches_a_container_whose_client_is_gone(service: Service, dockerd: Dockerd):
    line = "trap 'exit 3' USR1; echo ready; sleep 1000 & wait"
    job_id = service.submit(job(docker(line)))
    with attached(service, job_id) as output:
        assert next(output) == "ready"
    pid = dockerd.about(f"jobrunner-{job_id}-0")["State"]["Pid"]
    with Watched([pid]) as process, Watched([client_of(job_id)]) as client:
        client.signal(signal.SIGKILL)
        client.wait_gone()
        # Between the client's death and the start of what follows it there is nobody to get it.
        until(lambda: send(service, job_id, "USR1") and not process.alive())
    view = service.wait(job_id)
    assert outcome(view) == ("exited", 3, None)

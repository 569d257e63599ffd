"""A signal that is no kill reaches the whole tree once: where cgroups are writable, and where they
aren't.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gates import attached, lines
from running import Service, running
from waiting import until
from watching import Watched

from service.host.procfs import look_at

pytestmark = pytest.mark.e2e

# Says `got` for each HUP, of which its child dies, and `ready` once there is another one. A shell's
# child may miss a signal until its exec.
COUNTS = (
    "trap 'echo got' HUP; while :; do bash -c 'echo ready; exec sleep 600' & wait $!; wait $!; done"
)


@pytest.fixture(
    scope="module",
    params=["walk", pytest.param("cgroup", marks=pytest.mark.cgroup)],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that finds a job's processes in the one way, and in the other."""
    setting = {"walk": "off", "cgroup": "auto"}[request.param]
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, environment={"JOBRUNNER_CGROUP": setting}) as service:
        yield service


@pytest.fixture(autouse=True)
def _nothing_runs_on(service: Service) -> Iterator[None]:
    yield
    for job_id in service.client.get("/").json()["IDs"]:
        service.kill(job_id, grace=0, wait="true")


def send(service: Service, job_id: str, name: str) -> int:
    """How many processes got it."""
    answer = service.client.post(f"/{job_id}/signal", params={"signal": name})
    assert answer.status_code == 200, answer.text
    sent: dict[str, Any] = answer.json()
    assert (sent["ID"], sent["Signal"].removeprefix("SIG")) == (job_id, name.removeprefix("SIG"))
    return sent["Processes"]  # type: ignore[no-any-return]


def test_a_trap_runs_once_for_each_signal_and_the_job_goes_on(service: Service):
    job_id = service.submit(COUNTS)
    with attached(service, job_id) as output:
        assert next(output) == "ready"
        for name in ("HUP", "SIGHUP", "HUP"):
            assert send(service, job_id, name) == 2
            assert [next(output), next(output)] == ["got", "ready"]
    view = service.show(job_id)
    assert (view["State"], view["Kill"]) == ("running", None)


def test_every_process_of_the_tree_gets_it(service: Service):
    each = "trap 'echo hit' USR1; sleep 600 & echo up; wait; wait; exec sleep 600"
    line = """
        bash -c "$EACH" & setsid bash -c "$EACH" & env -i EACH="$EACH" bash -c 'eval "$EACH"' &
        (setsid bash -c "$EACH" &); eval "$EACH"
    """
    job_id = service.submit({"CommandLine": line, "Environment": {"EACH": each}})
    with attached(service, job_id) as output:
        assert [next(output) for _ in range(5)] == ["up"] * 5
        assert send(service, job_id, "USR1") == 10
        assert [next(output) for _ in range(5)] == ["hit"] * 5


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "RTMIN+3"])
def test_a_job_that_dies_of_it_has_exited(service: Service, name: str):
    job_id = service.submit({"Commands": [{"CommandLine": "echo up; exec sleep 600"}] * 2})
    assert lines(service, job_id, 1) == ["up"]
    assert send(service, job_id, name) == 1
    view = service.wait(job_id)
    assert (view["State"], view["Reason"], view["Kill"]) == ("exited", None, None)
    assert (view["ExitCode"], view["Signal"]) == (None, f"SIG{name}")
    states = [(c["State"], c["Signal"]) for c in view["Commands"]]
    assert states == [("exited", f"SIG{name}"), ("skipped", None)]


def test_the_next_command_runs_where_it_may(service: Service):
    first = {"CommandLine": "echo up; exec sleep 600", "ContinueOnFailure": True}
    job_id = service.submit({"Commands": [first, {"CommandLine": "echo next"}]})
    assert lines(service, job_id, 1) == ["up"]
    send(service, job_id, "INT")
    view = service.wait(job_id)
    assert (view["State"], view["ExitCode"], view["Signal"]) == ("exited", 0, None)
    assert view["Commands"][0]["Signal"] == "SIGINT"
    assert service.output(job_id) == b"up\nnext\n"


def test_without_a_name_it_is_term(service: Service):
    job_id = service.submit("echo up; exec sleep 600")
    assert lines(service, job_id, 1) == ["up"]
    answer = service.client.post(f"/{job_id}/signal")
    assert answer.json() == {"ID": job_id, "Signal": "SIGTERM", "Processes": 1}
    assert service.wait(job_id)["Signal"] == "SIGTERM"


# Stopped jobs


def test_a_stopped_job_runs_on_and_handles_nothing_until_it_continues(service: Service):
    job_id = service.submit(COUNTS.replace("while", "echo $$; while"))
    with attached(service, job_id) as output:
        pid = int(next(output))
        assert next(output) == "ready"
        assert send(service, job_id, "STOP") == 2
        until(lambda: is_stopped(pid))
        assert send(service, job_id, "HUP") == 2
        assert service.show(job_id)["State"] == "running"
        assert b"got" not in service.output(job_id, follow="false")
        assert send(service, job_id, "CONT") == 2
        assert [next(output), next(output)] == ["got", "ready"]


@pytest.mark.parametrize("grace", [0, 30])
def test_a_stopped_job_can_be_killed(service: Service, grace: int):
    job_id = service.submit("trap 'echo bye; exit 3' TERM; sleep 600 & echo $! $$; wait")
    child, pid = map(int, lines(service, job_id, 1)[0].split())
    with Watched([child, pid]) as processes:
        send(service, job_id, "STOP")
        service.kill(job_id, grace=grace, wait="true")
        assert processes.alive() == []
    view = service.show(job_id)
    assert (view["State"], view["ExitCode"]) == ("killed", 3 if grace else None)
    receipt = view["Kill"]
    # What was signalled before isn't counted again.
    assert (receipt["Found"], receipt["Escalated"], receipt["VerifiedGone"]) == (2, False, True)


def is_stopped(pid: int) -> bool:
    process = look_at(pid)
    assert process is not None
    return process.is_stopped

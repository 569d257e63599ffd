"""A kill reaches what Slurm runs, or keeps waiting, and leaves nothing of it in the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from containers import job, outcome
from gates import attached
from running import Service, running
from slurm import PROCESSORS, Cluster, slurm
from waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(
    scope="module",
    params=["walk", pytest.param("cgroup", marks=pytest.mark.cgroup)],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> Iterator[Service]:
    """A service that finds a job's processes in the one way, and in the other."""
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    setting = {"walk": "off", "cgroup": "auto"}[request.param]
    environment = {**cluster.environment, "JOBRUNNER_CGROUP": setting}
    with running(state_dir, workers=2, environment=environment) as service:
        yield service


def started(service: Service, line: str, **keys: object) -> str:
    """A job whose step has said `ready`."""
    job_id = service.submit(job(slurm(line), **keys))
    with attached(service, job_id, stream="stdout") as output:
        assert next(output) == "ready"
    return job_id


def test_the_signal_reaches_the_step_which_may_end_as_it_likes(service: Service, cluster: Cluster):
    line = "trap 'echo got it; exit 3' TERM; echo ready; sleep 1000 & wait"
    job_id = started(service, line, Grace=250)
    view = service.kill(job_id, wait="true")
    view = service.show(job_id)
    assert (view["State"], view["Reason"]) == ("killed", "requested")
    assert outcome(view) == ("killed", 3, None)
    assert service.output(job_id, stream="stdout") == b"ready\ngot it\n"
    assert (view["Kill"]["Escalated"], view["Kill"]["VerifiedGone"]) == (False, True)
    assert view["Commands"][0]["SlurmJobID"].isdecimal()
    assert cluster.jobs(job_id) == []


def test_a_step_that_dies_of_the_signal_says_so(service: Service, cluster: Cluster):
    job_id = started(service, "echo ready; exec sleep 1000", Grace=250)
    service.kill(job_id, wait="true")
    view = service.show(job_id)
    assert (outcome(view), view["Error"]) == (("killed", None, "SIGTERM"), None)
    assert cluster.jobs(job_id) == []


def test_a_step_that_ignores_the_signal_is_killed_after_the_grace(
    service: Service, cluster: Cluster
):
    job_id = started(service, "trap '' TERM; echo ready; while :; do sleep 1000; done", Grace=1)
    service.kill(job_id, wait="true")
    view = service.show(job_id)
    assert (view["State"], outcome(view)[0]) == ("killed", "killed")
    assert (view["Kill"]["Escalated"], view["Kill"]["VerifiedGone"]) == (True, True)
    assert cluster.jobs(job_id) == []
    assert cluster.state(f"jr-{job_id}-0") in ("FAILED", "CANCELLED")


def test_a_hard_kill_waits_for_nothing(service: Service, cluster: Cluster):
    job_id = started(service, "trap '' TERM; echo ready; sleep 1000", Grace=250)
    service.kill(job_id, wait="true", grace="0")
    view = service.show(job_id)
    assert (view["State"], view["Kill"]["VerifiedGone"]) == ("killed", True)
    assert cluster.jobs(job_id) == []


def test_hard_kills_leave_the_nodes_in_service(service: Service, cluster: Cluster):
    job_ids = [started(service, "echo ready; sleep 1000", Grace=0) for _ in range(PROCESSORS)]
    with ThreadPoolExecutor(PROCESSORS) as pool:
        list(pool.map(partial(service.kill, wait="true"), job_ids))
    assert cluster.jobs() == []
    assert cluster.says("sinfo", "-h", "-R", "-o", "%n %E") == ""


def test_a_command_that_slurm_keeps_waiting_says_why_and_is_killed(
    service: Service, cluster: Cluster
):
    first = started(service, "echo ready; sleep 1000", Grace=250)
    all_of_them = {"Tasks": PROCESSORS, "Nodes": 2}
    job_id = service.submit(job(slurm("echo never", **all_of_them), Grace=250))
    until(lambda: service.show(job_id)["Commands"][0]["Queued"])
    command = service.show(job_id)["Commands"][0]
    assert (command["State"], command["Nodes"]) == ("running", None)
    assert command["Queued"] in ({"Reason": "Resources"}, {"Reason": "Priority"})
    assert command["SlurmJobID"].isdecimal()
    (listed,) = [
        each
        for each in service.client.get("/", params={"view": "full"}).json()["Jobs"]
        if each["ID"] == job_id
    ]
    assert listed["Commands"][0]["Queued"] == command["Queued"]
    service.kill(job_id, wait="true")
    view = service.show(job_id)
    assert (view["State"], outcome(view)) == ("killed", ("killed", None, "SIGTERM"))
    assert (view["Error"], view["Kill"]["VerifiedGone"]) == (None, True)
    assert cluster.jobs(job_id) == []
    service.kill(first, wait="true")
    assert cluster.jobs() == []


def test_the_jobs_timeout_ends_it(service: Service, cluster: Cluster):
    view = service.run(job(slurm("echo ready; exec sleep 1000"), Timeout=3, Grace=250))
    assert (view["State"], view["Reason"]) == ("killed", "timeout")
    assert cluster.jobs(view["ID"]) == []


def test_a_signal_that_is_no_kill_reaches_the_step(service: Service):
    line = "trap 'echo reread' HUP; echo ready; until read -t 0.1 -r _; do :; done"
    job_id = service.submit(job(slurm(line), Stdin=True))
    with attached(service, job_id, stream="stdout") as output:
        assert next(output) == "ready"
        answer = service.client.post(f"/{job_id}/signal", params={"signal": "HUP"})
        assert answer.status_code == 200, answer.text
        assert next(output) == "reread"
    assert service.client.post(f"/{job_id}/stdin", content=b"go\n").status_code == 200
    assert service.wait(job_id)["ExitCode"] == 0

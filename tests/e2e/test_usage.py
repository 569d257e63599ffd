"""What running jobs use, and their processes: measured when somebody asks."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from gates import Gate, lines
from running import Service, running

pytestmark = pytest.mark.e2e

MB = 1 << 20
# It has used a tenth of a second of processor time and 60 MB when it says so: by the kernel's figures
# in clock ticks, as they are in /proc, which are up to two ticks behind the time that has passed.
BUSY = (
    "import os; a = bytes(range(256)) * 240_000\n"
    "while sum(os.times()[:2]) < 0.1: pass\n"
    'print("ready", flush=True); os.read(os.open("GATE", os.O_RDONLY), 1)'
)


@pytest.fixture(scope="module", params=["auto", "off"])
def measured(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Service]:
    """With cgroups where they are writable, and without."""
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    environment = {"JOBRUNNER_CGROUP": request.param, "JOBRUNNER_MAX_RUNNING": "8"}
    with running(state_dir, environment=environment) as service:
        yield service


def processes(service: Service, job_id: str) -> list[dict[str, Any]]:
    answer = service.client.get(f"/{job_id}", params={"processes": "true"})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["Processes"]
    return found


def busy(service: Service, gate: Gate) -> str:
    """A job with a busy child, a child that waits, and a shell that waits for both."""
    program = BUSY.replace("GATE", str(gate))
    job_id = service.submit(f"(read < {gate}) & python3 -c '{program}' & wait")
    assert lines(service, job_id, 1) == ["ready"]
    return job_id


def test_usage_of_a_running_job(measured: Service, gate: Gate):
    job_id = busy(measured, gate)
    now = measured.show(job_id)["Usage"]
    assert 0.1 <= now["CPUSeconds"] < 5
    assert now["Processes"] == 3
    assert now["Memory"] > 55 * MB
    assert now["PeakMemory"] > 55 * MB
    listed = measured.client.get("/", params={"view": "full"}).json()["Jobs"]
    assert [view["Usage"]["Processes"] for view in listed if view["ID"] == job_id] == [3]
    waited = measured.client.get(f"/{job_id}/wait", params={"timeout": 0}).json()
    assert waited["Usage"]["Processes"] == 3
    gate.open(2)
    ended = measured.wait(job_id)["Usage"]
    assert (ended["Memory"], ended["Processes"]) == (None, None)
    assert ended["CPUSeconds"] >= now["CPUSeconds"]
    assert ended["PeakMemory"] >= 55 * MB


def test_processes_of_a_job_name_the_hog_first(measured: Service, gate: Gate):
    job_id = busy(measured, gate)
    hog, *others = processes(measured, job_id)
    assert "os.times()" in hog["Command"]
    assert hog["CPUSeconds"] >= 0.1
    assert hog["Memory"] > 55 * MB
    assert len(others) == 2
    assert hog["Parent"] in {p["PID"] for p in others}
    assert hog.keys() == {"PID", "Parent", "Command", "State", "CPUSeconds", "Memory", "StartedAt"}
    assert os.path.exists(f"/proc/{hog['PID']}")
    gate.open(2)
    assert measured.wait(job_id)["State"] == "exited"
    assert processes(measured, job_id) == []


def test_secrets_of_the_environment_are_not_listed(measured: Service, gate: Gate):
    body = {"CommandLine": f"read < {gate}", "Environment": {"SECRET": "s3cr3t-of-the-job"}}
    job_id = measured.submit(body)
    answer = measured.client.get(f"/{job_id}", params={"processes": "true"})
    gate.open()
    assert "s3cr3t-of-the-job" not in answer.text


def test_view_has_processes_only_when_asked(service: Service):
    view = service.run("true")
    assert "Processes" not in view
    assert_problem(service.client.get(f"/{view['ID']}", params={"processes": "yes"}), 400)
    assert_problem(service.client.get("/0" * 18, params={"processes": "true"}), 404)


def test_pending_job_has_no_processes(state_dir: Path, gate: Gate):
    with running(state_dir, environment={"JOBRUNNER_MAX_RUNNING": "1"}) as service:
        first = service.submit(f"echo ready; read < {gate}")
        lines(service, first, 1)
        pending = service.submit("true")
        view = service.client.get(f"/{pending}", params={"processes": "true"}).json()
        gate.open()
        service.wait(pending)
    assert view["State"] == "pending"
    assert view["Processes"] == []
    assert set(view["Usage"].values()) == {None}


def test_supervisor_that_does_not_answer_means_null(state_dir: Path, gate: Gate):
    with running(state_dir) as service:
        job_id = service.submit(f"echo ready; read < {gate}")
        lines(service, job_id, 1)
        supervisor = service.supervisor_pid()
        os.kill(supervisor, signal.SIGSTOP)
        try:
            answer = service.client.get(f"/{job_id}", params={"processes": "true"})
            listed = service.client.get("/", params={"view": "full"})
        finally:
            os.kill(supervisor, signal.SIGCONT)
        gate.open()
        service.wait(job_id)
    assert answer.status_code == listed.status_code == 200
    assert set(answer.json()["Usage"].values()) == {None}
    assert answer.json()["Processes"] is None
    assert set(listed.json()["Jobs"][0]["Usage"].values()) == {None}

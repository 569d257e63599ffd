"""How Slurm itself ends a command, or never runs it, and what the command's view says then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import job, outcome
from gates import attached
from running import Service, running
from slurm import PROCESSORS, Cluster, slurm
from waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    environment = {**cluster.environment, "JOBRUNNER_SLURM_OPTIONS": "nodelist gres"}
    with running(state_dir, environment=environment) as service:
        yield service


def started(service: Service, line: str) -> str:
    job_id = service.submit(job(slurm(line), "echo no"))
    with attached(service, job_id, stream="stdout") as output:
        assert next(output) == "ready"
    return job_id


@pytest.mark.parametrize("code", [0, 3])
def test_a_cancellation_by_somebody_else_is_no_success_whatever_the_code(
    service: Service, cluster: Cluster, code: int
):
    line = (
        f"trap 'echo got it; exit {code}' TERM; echo ready; while :; do read -t 0.1 <> <(:); done"
    )
    job_id = started(service, line)
    assert cluster.run("scancel", "-n", f"jr-{job_id}-0").returncode == 0
    view = service.wait(job_id)
    assert view["State"] == "exited"
    assert outcome(view) == ("exited", code or None, None)
    error = "Slurm ended the job (CANCELLED): it was cancelled by a user or an administrator of the cluster."
    assert view["Commands"][0]["Error"] == error
    assert view["Commands"][1]["State"] == "skipped"
    assert service.output(job_id, stream="stdout") == b"ready\ngot it\n"
    assert cluster.jobs(job_id) == []


def test_a_step_whose_place_a_job_of_higher_priority_takes_was_preempted(
    service: Service, cluster: Cluster
):
    line = "trap 'echo got it; exit 0' TERM; echo ready; while :; do read -t 0.1 <> <(:); done"
    job_id = started(service, line)
    all_of_them = {"Tasks": PROCESSORS, "Nodes": 2}
    urgent = service.submit(job(slurm("true", Partition="urgent", **all_of_them)))
    view = service.wait(job_id)
    assert view["State"] == "exited"
    # That it handled the signal makes it no success.
    assert outcome(view) == ("exited", None, None)
    error = "Slurm ended the job (PREEMPTED): a job of higher priority took its place."
    assert view["Commands"][0]["Error"] == error
    assert view["Commands"][0]["SlurmJobID"].isdecimal()
    assert view["Commands"][1]["State"] == "skipped"
    assert service.output(job_id, stream="stdout") == b"ready\ngot it\n"
    assert service.wait(urgent)["ExitCode"] == 0
    assert cluster.jobs() == []


def test_a_step_that_takes_too_much_memory_was_killed_for_it(service: Service):
    line = "x=$(head -c 300000000 /dev/zero | tr '\\0' a); echo ${#x}"
    view = service.run(job(slurm(line, Memory=50 << 20)))
    command = view["Commands"][0]
    assert (view["State"], command["OOMKilled"]) == ("exited", True)
    assert command["Error"] == (
        "Slurm ended the job (OUT_OF_MEMORY): it used more memory than it had asked for."
    )


def test_the_jobs_limit_of_memory_is_slurms(service: Service):
    line = "x=$(head -c 300000000 /dev/zero | tr '\\0' a); echo ${#x}"
    view = service.run({**job(slurm(line)), "Limits": {"Memory": 50 << 20}})
    assert view["Commands"][0]["OOMKilled"] is True


def test_the_time_limit_of_the_command_ends_it(service: Service, cluster: Cluster):
    job_id = started_with_time(service)
    view = service.wait(job_id)
    assert (view["State"], outcome(view)[0]) == ("exited", "exited")
    expected = "Slurm ended the job (TIMEOUT): its time limit had passed."
    assert view["Commands"][0]["Error"] == expected
    assert cluster.jobs(job_id) == []


def started_with_time(service: Service) -> str:
    """Slurm counts in minutes, and looks twice a minute."""
    job_id = service.submit(job(slurm("echo ready; exec sleep 1000", Time=1)))
    with attached(service, job_id, stream="stdout") as output:
        assert next(output) == "ready"
    return job_id


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"Partition": "nowhere"}, "Invalid partition name specified"),
        ({"Constraint": "nowhere"}, "Invalid feature specification"),
        ({"Memory": 1 << 40}, "Requested node configuration is not available"),
        ({"Options": ["--gres=nothing:1"]}, ""),
    ],
)
def test_what_slurm_refuses_says_why(service: Service, keys: dict[str, object], why: str):
    view = service.run(job(slurm("echo never", **keys), "echo no"))
    assert (view["State"], view["ExitCode"]) == ("exited", None)
    command = view["Commands"][0]
    assert str(command["Error"]).startswith("Slurm refused the job: "), command
    assert why in command["Error"]
    assert (command["SlurmJobID"], view["Commands"][1]["State"]) == (None, "skipped")
    assert service.output(view["ID"]) == b""


def test_a_directory_that_the_node_has_not_ends_the_command(service: Service, tmp_path: Path):
    # The node has it, as it is this host: until the step begins there.
    there = tmp_path / "there"
    there.mkdir()
    first = job({"CommandLine": f"rmdir {there}"}, slurm("echo never; touch here"))
    view = service.run({**first, "WorkingDir": str(there)})
    assert view["State"] == "exited"
    assert view["ExitCode"] != 0


def test_a_service_without_slurm_says_so_and_runs_all_else(tmp_path: Path, cluster: Cluster):
    state_dir = tmp_path / "jobrunner"
    environment = {**cluster.environment, "JOBRUNNER_SRUN": "/nowhere/srun"}
    with running(state_dir, environment=environment) as service:
        until(lambda: kind(service)["Usable"] is False)
        assert "/nowhere/srun" in kind(service)["Error"]
        view = service.run(job(slurm("echo never")))
        assert (view["State"], view["ExitCode"]) == ("exited", None)
        assert "/nowhere/srun" in view["Error"]
        assert service.run("echo all else")["ExitCode"] == 0


def kind(service: Service) -> dict[str, object]:
    found: dict[str, object] = service.client.get("/health/ready").json()["Kinds"]["slurm"]
    return found


def test_the_doctor_says_whether_commands_can_run_and_what_the_nodes_may_not_see(
    tmp_path: Path, cluster: Cluster
):
    def found(**environment: str) -> list[dict[str, str]]:
        argv = [sys.executable, "-m", "service", "doctor", "--json"]
        env = {"PATH": os.defpath + ":/usr/sbin", "JOBRUNNER_STATE_DIR": str(tmp_path / "none")}
        ran = subprocess.run(argv, env=env | environment, capture_output=True, check=False)
        return [each for each in json.loads(ran.stdout) if each["check"] == "kind slurm"]

    ours, *others = found(**cluster.environment)
    assert (ours["verdict"], ours["text"]) == ("ok", "Commands of the kind slurm can run.")
    assert all("don't share" in other["text"] for other in others)
    (without,) = found()
    assert (without["verdict"], "isn't set up" in without["text"]) == ("ok", True)
    (wrong,) = found(**cluster.environment, JOBRUNNER_SRUN="/nowhere/srun")
    assert (wrong["verdict"], "/nowhere/srun" in wrong["text"]) == ("warning", True)

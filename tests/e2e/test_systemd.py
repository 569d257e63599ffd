"""The units of deploy/, run by a real systemd: they protect what they say, and jobs outlive a restart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from systemd import Box, booted, why_not

IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
WHY_NOT = why_not()
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.once,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]

WEB, SUPERVISOR = "jobrunner.service", "jobrunner-supervisor.service"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with booted(tmp_path_factory.mktemp("systemd") / "box") as box:
        box.run("systemctl", "start", WEB)
        ready(box)
        yield box


def ready(box: Box) -> None:
    """`Type=exec` tells that it was started; curl goes on trying until it answers."""
    box.curl("--retry", "60", "--retry-connrefused", "--retry-delay", "1", "/health/ready")


def submit(box: Box, line: str) -> str:
    body = json.dumps({"CommandLine": line})
    answer = box.curl("-H", "Content-Type: application/json", "-d", body, "/")
    return json.loads(answer)["ID"]


def wait(box: Box, job_id: str) -> dict[str, Any]:
    return json.loads(box.curl(f"/{job_id}/wait"))


def said(box: Box, line: str) -> str:
    job_id = submit(box, line)
    wait(box, job_id)
    return box.curl(f"/{job_id}/attach")


def main_pid(box: Box, unit: str) -> int:
    return int(box.run("systemctl", "show", "-P", "MainPID", unit))


def test_a_job_runs_as_the_units_user_in_a_cgroup_of_its_own(box: Box) -> None:
    user, cgroup = said(box, "id -un; grep ^0:: /proc/self/cgroup").split()
    assert user == "jobrunner"
    assert "jobrunner-supervisor.service" in cgroup


def test_a_job_changes_nothing_but_what_is_its_own(box: Box) -> None:
    line = "for d in . /tmp /var/tmp /etc /usr /home/jobrunner /opt; do touch $d/x && echo $d; done"
    assert said(box, f"{{ {line}; }} 2>/dev/null").split() == [".", "/tmp", "/var/tmp"]
    assert box.run("sh", "-c", "ls /tmp/x", ok=(1, 2)) == ""
    assert said(box, "grep NoNewPrivs /proc/self/status").split() == ["NoNewPrivs:", "1"]


@pytest.mark.parametrize("unit", [WEB, SUPERVISOR])
def test_a_unit_has_no_capability_and_no_way_to_one(box: Box, unit: str) -> None:
    status = box.run("cat", f"/proc/{main_pid(box, unit)}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == "1"


def test_the_web_unit_sees_a_system_that_is_read_only(box: Box) -> None:
    pid = main_pid(box, WEB)
    mounts = box.run("cat", f"/proc/{pid}/mountinfo").splitlines()
    options = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    assert "ro" in options["/"]
    assert "rw" in options["/var/lib/jobrunner"]
    assert "Seccomp:\t2" in box.run("cat", f"/proc/{pid}/status")


@pytest.mark.parametrize(("unit", "most"), [(WEB, "2.5"), (SUPERVISOR, "5.0")])
def test_systemd_itself_finds_little_exposed(box: Box, unit: str, most: str) -> None:
    threshold = str(int(float(most) * 10))
    box.run("systemd-analyze", "--no-pager", "security", f"--threshold={threshold}", unit)


@pytest.mark.parametrize("unit", [WEB, SUPERVISOR])
def test_a_unit_says_nothing_that_systemd_does_not_know(box: Box, unit: str) -> None:
    assert "Unknown" not in box.run("systemd-analyze", "verify", f"/etc/systemd/system/{unit}")
    assert f"{unit}:" not in box.journal()


def test_a_job_outlives_a_restart_of_the_web_unit(box: Box) -> None:
    fifo = "/var/lib/jobrunner/gate"
    box.run("mkfifo", "-m", "666", fifo)
    job_id = submit(box, f"echo before; read -r _ < {fifo}; echo after")
    before = main_pid(box, WEB)
    box.run("systemctl", "restart", WEB)
    ready(box)
    assert main_pid(box, WEB) != before
    assert json.loads(box.curl(f"/{job_id}"))["State"] == "running"
    box.run("sh", "-c", f"echo go > {fifo}")
    assert wait(box, job_id)["ExitCode"] == 0
    assert box.curl(f"/{job_id}/attach") == "before\nafter\n"


def test_kill_takes_all_that_a_job_started(box: Box) -> None:
    job_id = submit(box, "setsid env -i sleep 600 & echo $!; wait")
    receipt = json.loads(box.curl("-X", "DELETE", f"/{job_id}?grace=0&wait=true"))
    assert receipt["State"] == "killed"
    assert json.loads(box.curl(f"/{job_id}"))["Kill"]["VerifiedGone"]


def test_stopping_the_supervisor_ends_its_jobs_and_both_units(box: Box) -> None:
    job_id = submit(box, "sleep 600")
    box.run("systemctl", "stop", SUPERVISOR)
    states = box.run("systemctl", "is-active", WEB, SUPERVISOR, ok=(3,)).split()
    assert "active" not in states
    box.run("systemctl", "start", WEB)
    ready(box)
    assert json.loads(box.curl(f"/{job_id}"))["State"] == "killed"

"""The units of deploy/, run by a real systemd: they protect what they say, and jobs outlive a restart."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from systemd import DEPLOY, Box, booted, why_not

IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
WHY_NOT = why_not()
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]

WEB, SUPERVISOR = "jobrunner.service", "jobrunner-supervisor.service"


# The bits of those that a unit may have. Source: linux/capability.h.
CHOWN, KILL, SETGID, SETUID = (1 << number for number in (0, 5, 6, 7))
CAPABILITIES = {WEB: SETUID | SETGID, SUPERVISOR: SETUID | SETGID | CHOWN | KILL}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with booted(tmp_path_factory.mktemp("systemd") / "box") as box:
        box.run("systemctl", "start", WEB)
        ready(box)
        box.token = token(box, "ann", "admin")
        yield box


def token(box: Box, name: str, scope: str) -> str:
    said = box.run(
        *("env", "JOBRUNNER_STATE_DIR=/var/lib/jobrunner", "/opt/jobrunner/bin/jobrunner"),
        *("token", "create", "--name", name, "--scope", scope),
    )
    return said.split()[-1]


@contextmanager
def called_by(box: Box, token: str) -> Iterator[None]:
    before, box.token = box.token, token
    try:
        yield
    finally:
        box.token = before


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


def test_a_job_runs_as_another_user_than_the_service_in_a_cgroup_of_its_own(box: Box) -> None:
    user, cgroup = said(box, "id -un; grep ^0:: /proc/self/cgroup").split()
    assert user == "jobrunner"
    assert "jobrunner-supervisor.service" in cgroup
    for unit in (WEB, SUPERVISOR):
        assert box.run("stat", "-c", "%U", f"/proc/{main_pid(box, unit)}").strip() == "root"


@pytest.fixture(scope="module")
def mallory(box: Box) -> str:
    """A token that may run jobs, and see its own."""
    return token(box, "mallory", "run")


@pytest.fixture(scope="module")
def secret(box: Box) -> dict[str, Any]:
    """A job of somebody else, which has ended."""
    return wait(box, submit(box, "echo hidden | tee file; chmod 644 file"))


@pytest.mark.parametrize(
    "path",
    [
        *("tokens.json", "jobs.db", "jobs.db-wal", "audit.log", "supervisor.lock"),
        *("logs/{id}/output", "logs/{id}/runs"),
    ],
)
def test_a_run_token_reads_nothing_of_the_services_through_bash(
    box: Box, mallory: str, secret: dict[str, Any], path: str
) -> None:
    path = f"/var/lib/jobrunner/{path.format(id=secret['ID'])}"
    assert box.run("wc", "-c", path).split()[0] != "0"
    with called_by(box, mallory):
        for line in (
            f"cat {path}",
            f"cp {path} .",
            f"ln {path} x",
            f": >> {path}",
            f"rm -f {path}",
        ):
            view = wait(box, submit(box, f"LC_ALL=C {line}"))
            assert view["ExitCode"] == 1, line
            said = box.curl(f"/{view['ID']}/attach")
            assert "denied" in said or "not permitted" in said, said


def test_a_run_token_lists_nothing_of_the_services_through_bash(box: Box, mallory: str) -> None:
    with called_by(box, mallory):
        assert said(box, "ls /var/lib/jobrunner /var/lib/jobrunner/jobs 2>/dev/null; true") == ""
        assert said(box, "mv /var/lib/jobrunner /var/lib/x 2>/dev/null || echo no") == "no\n"


def test_a_run_token_reaches_no_process_or_socket_of_the_services_through_bash(
    box: Box, mallory: str
) -> None:
    connect = (
        "import socket; socket.socket(socket.AF_UNIX).connect('/var/lib/jobrunner/supervisor.sock')"
    )
    pids = [main_pid(box, unit) for unit in (WEB, SUPERVISOR)]
    with called_by(box, mallory):
        assert "PermissionError" in said(box, f'python3 -c "{connect}" 2>&1; true')
        for pid in pids:
            line = f"for f in environ mem maps fd/1; do cat /proc/{pid}/$f && echo READ; done"
            assert "READ" not in said(box, f"{{ {line}; }} 2>/dev/null; true")
            assert said(box, f"kill -9 {pid} 2>/dev/null || echo no") == "no\n"
        groups = "/sys/fs/cgroup/system.slice/jobrunner-supervisor.service"
        find = f"find {groups} -name 'cgroup.[kp]*' -writable"
        assert said(box, f"{find} 2>/dev/null; true") == ""
    assert [main_pid(box, unit) for unit in (WEB, SUPERVISOR)] == pids


def test_jobs_have_a_home_that_they_share(box: Box) -> None:
    assert said(box, "echo kept > ~/file && echo $HOME").strip() == "/var/lib/jobrunner-home"
    assert said(box, "cat ~/file; stat -c %a ~").split() == ["kept", "700"]


def test_no_job_sees_the_socket_of_a_daemon(box: Box) -> None:
    box.run("sh", "-c", "mkdir -p /run/dbus; touch /run/docker.sock /run/dbus/system_bus_socket")
    assert said(box, "find /run ! -type d 2>/dev/null; true") == ""


def test_a_job_is_ended_for_its_memory_before_the_supervisor(box: Box) -> None:
    """500 apart, from whatever this box lets systemd set for the supervisor (OOMScoreAdjust)."""
    # What a job forks in its first moment may have the supervisor's; bash itself has its own.
    of_a_job = said(box, "read -rt 0.2 _ < <(sleep 60); cat /proc/$$/oom_score_adj")
    of_the_supervisor = box.run("cat", f"/proc/{main_pid(box, SUPERVISOR)}/oom_score_adj")
    assert int(of_a_job) == int(of_the_supervisor) + 500


def test_what_a_job_left_is_cleaned(box: Box) -> None:
    job_id = submit(box, "mkdir -p a/b; echo x > a/b/c; chmod 0500 a/b a; umask 077; mkdir d")
    wait(box, job_id)
    box.curl("-X", "POST", f"/{job_id}/clean")
    assert box.run("find", "/var/lib/jobrunner", "-path", f"*{job_id}*") == ""


def test_what_neither_the_user_nor_the_service_may_remove_is_named(box: Box) -> None:
    job_id = submit(box, "umask 077; touch mine")
    wait(box, job_id)
    work = box.run("find", "/var/lib/jobrunner", "-path", f"*{job_id}*", "-name", "work").strip()
    box.run("mkdir", "-m", "755", f"{work}/of-root")
    box.run("touch", f"{work}/of-root/file")
    problem = json.loads(box.curl("-X", "POST", f"/{job_id}/clean", ok=(22,)))
    assert (problem["type"], problem["path"], problem["why"]) == (
        "urn:jobrunner:problem:files_left",
        "work/of-root/file",
        "Permission denied",
    )
    box.run("rm", "-r", f"{work}/of-root")
    box.curl("-X", "POST", f"/{job_id}/clean")
    assert box.run("find", "/var/lib/jobrunner", "-path", f"*{job_id}*") == ""


def test_a_job_changes_nothing_but_what_is_its_own(box: Box) -> None:
    line = "for d in . /tmp /var/tmp /etc /usr /home /opt /run /dev/shm/..; do touch $d/x && echo $d; done"
    assert said(box, f"{{ {line}; }} 2>/dev/null").split() == [".", "/tmp", "/var/tmp"]
    assert box.run("sh", "-c", "ls /tmp/x", ok=(1, 2)) == ""
    assert said(box, "grep NoNewPrivs /proc/self/status").split() == ["NoNewPrivs:", "1"]


@pytest.mark.parametrize("unit", [WEB, SUPERVISOR])
def test_a_unit_has_few_capabilities_and_no_way_to_more(box: Box, unit: str) -> None:
    fields = status_of(box.run("cat", f"/proc/{main_pid(box, unit)}/status"))
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(fields[name], 16) == CAPABILITIES[unit]
    assert int(fields["CapAmb"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


def test_a_job_has_no_capability_and_no_way_to_one(box: Box) -> None:
    fields = status_of(said(box, "cat /proc/self/status"))
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Groups"].split() == []


def status_of(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_the_web_unit_sees_a_system_that_is_read_only(box: Box) -> None:
    pid = main_pid(box, WEB)
    mounts = box.run("cat", f"/proc/{pid}/mountinfo").splitlines()
    options = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    assert "ro" in options["/"]
    assert "rw" in options["/var/lib/jobrunner"]
    assert "Seccomp:\t2" in box.run("cat", f"/proc/{pid}/status")


@pytest.mark.parametrize(("unit", "most"), [(WEB, "2.5"), (SUPERVISOR, "4.5")])
def test_systemd_itself_finds_little_exposed(box: Box, unit: str, most: str) -> None:
    threshold = str(int(float(most) * 10))
    box.run("systemd-analyze", "--no-pager", "security", f"--threshold={threshold}", unit)


@pytest.mark.parametrize("unit", [WEB, SUPERVISOR])
def test_a_unit_says_nothing_that_systemd_does_not_know(box: Box, unit: str) -> None:
    assert "Unknown" not in box.run("systemd-analyze", "verify", f"/etc/systemd/system/{unit}")
    assert f"{unit}:" not in box.journal()


def test_a_job_outlives_a_restart_of_the_web_unit(box: Box) -> None:
    fifo = "/var/tmp/gate"
    job_id = submit(box, f"mkfifo {fifo}; echo before; read -r _ < {fifo}; echo after")
    before = main_pid(box, WEB)
    box.run("systemctl", "restart", WEB)
    ready(box)
    assert main_pid(box, WEB) != before
    assert json.loads(box.curl(f"/{job_id}"))["State"] == "running"
    said(box, f"echo go > {fifo}")  # /var/tmp is the jobs' own
    assert wait(box, job_id)["ExitCode"] == 0
    assert box.curl(f"/{job_id}/attach") == "before\nafter\n"


def test_a_group_reaches_the_service_over_its_socket_and_no_job_does(box: Box) -> None:
    text = (DEPLOY / "README.md").read_text()
    (override,) = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    directory = f"/etc/systemd/system/{WEB}.d"
    box.run("mkdir", "-p", directory)
    box.run("sh", "-c", f"printf '%s' \"$1\" > {directory}/override.conf", "sh", override)
    box.run("groupadd", "builders")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", WEB)
    ready(box)
    path = "/run/jobrunner/http.sock"
    assert box.run("stat", "-c", "%A %U %G", path).split() == ["srw-rw----", "root", "builders"]
    call = f"curl -sS -m 60 --unix-socket {path} http://localhost/health/live"
    for group, status in (("builders", 0), ("nogroup", 7)):
        box.run(
            "setpriv",
            "--reuid=nobody",
            f"--regid={group}",
            "--clear-groups",
            "sh",
            "-c",
            call,
            ok=(status,),
        )
    assert said(box, f"test -e {path} || echo none") == "none\n"
    box.run("rm", "-r", directory)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", WEB)
    ready(box)
    assert box.run("sh", "-c", "ls /run/jobrunner") == ""


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

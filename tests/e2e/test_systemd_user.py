"""The service in systemd's session of an ordinary user: it has a cgroup to itself, as the documents say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from systemd import Box, booted, why_not

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]

DOCUMENT = Path(__file__).parents[2] / "deploy/README.md"
USER = "builder"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A box where an ordinary user started the service by the command of the document."""
    with booted(tmp_path_factory.mktemp("systemd") / "box") as box:
        box.run("useradd", "--create-home", USER)
        # The session of a user is made by logind, which is asked over D-Bus.
        box.run("systemctl", "start", "dbus.service", "systemd-logind.service")
        box.run("loginctl", "enable-linger", USER)
        uid = box.run("id", "-u", USER).strip()
        box.run("systemctl", "start", f"user@{uid}.service")
        (command,) = re.findall(r"^systemd-run --user .*$", DOCUMENT.read_text(), re.MULTILINE)
        box.run(
            *("setpriv", "--reuid", USER, "--regid", USER, "--init-groups"),
            *("env", f"HOME=/home/{USER}", f"XDG_RUNTIME_DIR=/run/user/{uid}"),
            *("PATH=/opt/jobrunner/bin:/usr/bin:/bin", "sh", "-c", f"cd; {command}"),
        )
        box.curl("--retry", "60", "--retry-connrefused", "--retry-delay", "1", "/health/ready")
        yield box


@pytest.fixture(scope="module")
def without_cgroups(box: Box) -> str:
    """Where another service of that user listens, which has no cgroups."""
    url = "http://127.0.0.1:8081"
    start = "cd; JOBRUNNER_CGROUP=off JOBRUNNER_PORT=8081 JOBRUNNER_STATE_DIR=/home/builder/other"
    box.run(
        *("setpriv", "--reuid", USER, "--regid", USER, "--init-groups"),
        *("env", f"HOME=/home/{USER}", "PATH=/opt/jobrunner/bin:/usr/bin:/bin"),
        *(
            "sh",
            "-c",
            f"{start} setsid jobrunner serve --single-process </dev/null >/dev/null 2>&1 &",
        ),
    )
    box.run(
        *("curl", "-sSf", "--retry", "60", "--retry-connrefused", "--retry-delay", "1"),
        f"{url}/health/ready",
    )
    return url


def job(box: Box, line: str, *, url: str = "http://127.0.0.1:8080") -> str:
    body = json.dumps({"CommandLine": line})
    answer = box.run("curl", "-sSf", "-H", "Content-Type: application/json", "-d", body, f"{url}/")
    return str(json.loads(answer)["ID"])


def test_a_job_has_a_cgroup_of_its_own_below_the_users(box: Box) -> None:
    job_id = job(box, "id -un; grep ^0:: /proc/self/cgroup")
    user, cgroup = box.curl(f"/{job_id}/attach").split()
    assert user == USER
    assert re.search(rf"/user@\d+\.service/.*/jobrunner\.service/.*/{job_id}$", cgroup)


@pytest.mark.parametrize("how", ["killed", "exited"])
def test_nothing_that_left_its_environment_and_session_outlives_the_job(box: Box, how: str) -> None:
    line = "setsid env -i sleep 600 & echo $!"
    job_id = job(box, f"{line}; wait" if how == "killed" else line)
    pid = box.curl(f"/{job_id}/output?wait=60").strip()
    assert pid
    if how == "killed":
        box.curl("-X", "DELETE", f"/{job_id}?grace=0&wait=true")
    view: dict[str, Any] = json.loads(box.curl(f"/{job_id}/wait"))
    assert view["State"] == how
    assert view["Kill"] is None if how == "exited" else view["Kill"]["VerifiedGone"]
    box.run("test", "!", "-e", f"/proc/{pid}")


def test_a_receipt_does_not_promise_what_cannot_be_ended(box: Box, without_cgroups: str) -> None:
    """A program that became root, as sudo does, takes no signal of an ordinary user's supervisor."""
    box.run("install", "-m", "4755", "/usr/bin/setpriv", "/usr/local/bin/as-root")
    line = "/usr/local/bin/as-root --reuid 0 sleep 601 & echo $!; wait"
    job_id = job(box, line, url=without_cgroups)
    pid = box.run("curl", "-sSf", f"{without_cgroups}/{job_id}/output?wait=60").strip()
    # It is root as soon as it is what it will be.
    box.run("sh", "-c", f"until grep -q '^Uid:.0.0' /proc/{pid}/status; do :; done")
    kill = f"{without_cgroups}/{job_id}?grace=0&wait=true"
    assert json.loads(box.run("curl", "-sSf", "-X", "DELETE", kill))["State"] == "killed"
    view = json.loads(box.run("curl", "-sSf", f"{without_cgroups}/{job_id}"))
    assert not view["Kill"]["VerifiedGone"]
    box.run("kill", pid)  # it was there

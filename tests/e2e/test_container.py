"""The container of deploy/: with the options of compose.yaml a `run` token reaches nothing of the service.

No image can be pulled where tests run, so the container has this box's own programs, mounted to be
read only; user, capabilities and the rest are what the files say.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerd import Dockerd

import service as package

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.docker]

DEPLOY = Path(__file__).parents[2] / "deploy"
IMAGE = "test-bare:1"
STATE = "/var/lib/jobrunner"


def compose() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return told["services"]["jobrunner"]


def environment_of_the_image() -> dict[str, str]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (.+)$", text, re.MULTILINE)
    return dict(word.split("=", 1) for word in line.split())


def options() -> list[str]:
    """Those of `docker run` that say what compose.yaml does, and what stands in for an image."""
    told = compose()
    assert "user" not in told
    assert not re.search("^USER", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    variables = {**environment_of_the_image(), **told["environment"]}
    source = [package.__path__[0], *site.getsitepackages(), sys.prefix, sys.base_prefix]
    roots = {"/usr", *map(str, source)}
    return [
        *(f"--cap-drop={name}" for name in told["cap_drop"]),
        *(f"--cap-add={name}" for name in told["cap_add"]),
        *(f"--security-opt={text}" for text in told["security_opt"]),
        *(["--read-only"] * told["read_only"]),
        *(["--init"] * told["init"]),
        *(f"--tmpfs={text}" for text in told["tmpfs"]),
        f"--pids-limit={told['pids_limit']}",
        *(f"--env={name}={value}" for name, value in variables.items()),
        *(f"--volume={path}:{path}:ro" for path in sorted(roots)),
        *(f"--volume={text}" for text in told["volumes"]),
        "--network=none",
    ]


class Box:
    def __init__(self, dockerd: Dockerd, name: str) -> None:
        self._dockerd, self._name = dockerd, name
        self.token = ""

    def run(self, *argv: str, **options: Any) -> str:
        return self._dockerd.client("exec", self._name, *argv, **options)

    def curl(self, *arguments: str) -> str:
        """The port isn't open yet when the container has just been started."""
        *flags, path = arguments
        headers = ["-H", f"Authorization: Bearer {self.token}"] if self.token else []
        retry = ["--retry", "60", "--retry-connrefused", "--retry-delay", "1"]
        return self.run("curl", "-sS", "-f", *retry, *headers, *flags, f"127.0.0.1:8080{path}")

    def said(self, line: str) -> tuple[dict[str, Any], str]:
        body = json.dumps({"CommandLine": line})
        told = json.loads(self.curl("-H", "Content-Type: application/json", "-d", body, "/"))
        view = json.loads(self.curl(f"/{told['ID']}/wait"))
        return view, self.curl(f"/{told['ID']}/attach")


@pytest.fixture(scope="module")
def box(dockerd: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    root = tmp_path_factory.mktemp("image")
    etc = root / "etc"
    etc.mkdir()
    (etc / "passwd").write_text(
        "root:x:0:0::/root:/bin/bash\njobrunner:x:999:999::/home/jobrunner:/usr/sbin/nologin\n"
    )
    home = root / "home" / "jobrunner"
    home.mkdir(parents=True, mode=0o700)
    os.chown(home, 999, 999)
    (etc / "group").write_text("root:x:0:\njobrunner:x:999:\n")
    shutil.copy("/etc/ld.so.cache", etc)
    for name in ("bin", "lib", "lib64"):  # not sbin: Docker puts its init there
        (root / name).symlink_to(f"usr/{name}")
    bare = subprocess.check_output(["tar", "-C", root, "--numeric-owner", "-c", "."])
    dockerd.client("import", "-c", "ENV PATH=/usr/bin:/bin", "-", IMAGE, input=bare)
    jobrunner = [sys.executable, "-m", "service"]
    made = dockerd.client(
        *("run", "--rm", *options(), IMAGE, *jobrunner),
        *("token", "create", "--name", "ann", "--scope", "admin"),
    )
    with serving(dockerd, options(), [*jobrunner, "serve"]) as box:
        box.token = made.split()[-1]
        box.curl("/health/ready")
        yield box


@contextmanager
def serving(dockerd: Dockerd, options: list[str], argv: list[str]) -> Iterator[Box]:
    name = "jobrunner-of-compose"
    dockerd.client("run", "--detach", "--name", name, *options, IMAGE, *argv)
    try:
        yield Box(dockerd, name)
    finally:
        dockerd.client("rm", "--force", name)


def test_jobs_are_another_user_than_the_service_and_have_no_capability(box: Box) -> None:
    view, said = box.said("id -un; grep -E '^(CapPrm|CapEff|NoNewPrivs):' /proc/self/status")
    assert view["ExitCode"] == 0
    user, *status = said.split()
    assert user == "jobrunner"
    assert status == ["CapPrm:", "0" * 16, "CapEff:", "0" * 16, "NoNewPrivs:", "1"]


def test_jobs_have_a_home_that_they_share(box: Box) -> None:
    assert box.said("echo kept > ~/file; pwd ~")[0]["ExitCode"] == 0
    assert box.said("cat ~/file; echo $HOME")[1] == "kept\n/home/jobrunner"


def test_the_health_check_of_the_image_says_whether_it_responds(box: Box) -> None:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    (check,) = re.findall(r"^HEALTHCHECK .*? CMD (.+)$", text, re.MULTILINE)
    _, *arguments = json.loads(check)
    box.run(sys.executable, *arguments)
    with pytest.raises(AssertionError, match="refused"):
        box.run("env", "JOBRUNNER_PORT=1", sys.executable, *arguments)


def test_a_run_token_reads_nothing_of_the_services_through_bash(box: Box) -> None:
    secret, _ = box.said("echo hidden")
    made = box.run(
        *(sys.executable, "-m", "service", "token", "create", "--name", "mallory"),
        *("--scope", "run"),
    )
    admin, box.token = box.token, made.split()[-1]
    try:
        for path in ("tokens.json", "jobs.db", "audit.log", f"logs/{secret['ID']}/output"):
            assert box.run("wc", "-c", f"{STATE}/{path}").split()[0] != "0"
            view, said = box.said(f"LC_ALL=C cat {STATE}/{path}")
            assert view["ExitCode"] == 1
            assert "Permission denied" in said
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect('{STATE}/supervisor.sock')"
        assert "PermissionError" in box.said(f'{sys.executable} -c "{connect}" 2>&1')[1]
        assert box.said("touch /usr/x /etc/x /x")[0]["ExitCode"] == 1
    finally:
        box.token = admin


def test_a_kill_takes_what_has_left_its_session_and_its_parent(box: Box) -> None:
    """No cgroup is writable in a container: such a process is found by its environment."""
    body = json.dumps({"CommandLine": "(setsid setsid sleep 1234 &) ; sleep 1234"})
    told = json.loads(box.curl("-H", "Content-Type: application/json", "-d", body, "/"))
    receipt = json.loads(box.curl("-X", "DELETE", f"/{told['ID']}?grace=0&wait=true"))
    assert receipt["State"] == "killed"
    assert "1234" not in box.run("ps", "-e", "-o", "args")


def test_what_a_job_left_is_cleaned(box: Box) -> None:
    view, _ = box.said("mkdir -p a/b; echo x > a/b/c; chmod 0500 a/b a; umask 077; mkdir d")
    box.curl("-X", "POST", f"/{view['ID']}/clean")
    assert view["ID"] not in box.run("ls", f"{STATE}/jobs", f"{STATE}/logs")

"""A job that wants to be more than its user: by containers, by bits of files, by races, by networks."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem, pointers
from containers import command_line, docker, job, outcome
from dockerd import IMAGE, Dockerd, daemon_or_skip
from gates import attached
from running import START_FUSE_S, Service, free_port, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run as somebody else"),
]

USER = "nobody"
NOBODY = pwd.getpwnam(USER)
AS_NOBODY = {"JOBRUNNER_RUN_AS": USER}


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Dockerd]:
    with daemon_or_skip() as dockerd:
        yield dockerd


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may pass through: pytest keeps its own to one user."""
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def as_nobody(dockerd: Dockerd) -> Iterator[Service]:
    """One whose jobs are nobody's, and which allows nothing besides."""
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        Path(name).chmod(0o711)
        environment = {**dockerd.environment, **AS_NOBODY}
        with running(Path(name) / "state", environment=environment) as service:
            yield service


@pytest.fixture
def bubblewrap() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")


def said(service: Service, body: dict[str, Any] | str) -> str:
    view = service.run(body)
    output = service.output(view["ID"]).decode()
    assert view["ExitCode"] == 0, (view["Error"], output)
    return output


def refused_at(service: Service, body: dict[str, Any]) -> list[str]:
    return pointers(assert_problem(service.client.post("/", json=body), 422))


# The environment of programs that aren't the job's

# What the loader of every dynamic program writes into a file that its environment names: a process
# that honours it has the job's variables in its environment.
_LOADER = {"LD_DEBUG": "statistics"}


@pytest.mark.docker
@pytest.mark.parametrize("tail", ["", "\n", "\nx", "\r"])
def test_no_variable_of_a_container_reaches_a_program_of_the_host(
    place: Path, as_nobody: Service, tail: str
) -> None:
    canaries = place / "canaries"
    canaries.mkdir(mode=0o777)
    canaries.chmod(0o777)
    names = "GCONV_PATH LOCPATH NLSPATH BASH_ENV ENV SHELLOPTS BASH_FUNC_x%% LD_PRELOAD PYTHONPATH"
    hostile = {**_LOADER, "LD_DEBUG_OUTPUT": f"{canaries}/ld", "DOCKER_HOST": "tcp://127.0.0.1:1"}
    hostile |= {name: str(canaries) for name in names.split()}
    variables = {name: value + tail for name, value in hostile.items()}
    # One that ends well, one that has to be asked about, one that is killed.
    bodies = [
        job(docker("true"), docker("exit 200"), Environment=variables),
        job(docker("true", Environment=variables)),
    ]
    for body in bodies:
        if not tail:
            as_nobody.run(body)
            continue
        at = "/Environment" if "Environment" in body else "/Commands/0/Environment"
        found = set(refused_at(as_nobody, body))
        assert found >= {f"{at}/{name}" for name in ("GCONV_PATH", "LD_PRELOAD", "DOCKER_HOST")}
    if not tail:
        job_id = as_nobody.submit(job(docker("echo up; sleep 600", Environment=variables)))
        with attached(as_nobody, job_id, stream="stdout") as output:
            assert next(output) == "up"
        as_nobody.kill(job_id, grace=0, wait="true")
    assert list(canaries.iterdir()) == []


@pytest.mark.usefixtures("bubblewrap")
@pytest.mark.parametrize("environment", [{}, AS_NOBODY], ids=["own", "run as"])
def test_no_variable_of_a_job_reaches_what_runs_outside_of_its_sandbox(
    place: Path, environment: dict[str, str]
) -> None:
    canaries = place / "canaries"
    canaries.mkdir(mode=0o777)
    canaries.chmod(0o777)
    variables = {**_LOADER, "LD_DEBUG_OUTPUT": f"{canaries}/ld", "PATH": "/nowhere", "ODD": "a\nb"}
    with running(
        place / "state", environment={**environment, "JOBRUNNER_SANDBOX": "bwrap"}
    ) as service:
        line = 'printf %s "$ODD"; for x in $(</proc/self/environ); do :; done; echo "$PATH"'
        view = service.run(job(line, Environment=variables))
        # Of one stream: the shell warns on the other, which may come in between.
        assert b"a\nb/nowhere\n" in service.output(view["ID"], stream="stdout")
        many = {f"V{n}": "x" for n in range(3000)}
        view = service.run(job("true", Environment=many))
        assert view["Error"].startswith("A command in a sandbox has at most ")
    assert list(canaries.iterdir()) == []


@pytest.mark.usefixtures("bubblewrap")
def test_a_process_list_shows_neither_a_jobs_id_nor_its_files(place: Path) -> None:
    environment = {**AS_NOBODY, "JOBRUNNER_SANDBOX": "bwrap"}
    with running(place / "state", environment=environment) as service:
        job_id = service.submit(job("echo up; sleep 600 & wait", Environment={"SECRET": "hidden"}))
        with attached(service, job_id) as output:
            assert next(output) == "up"
        shown = b"\n".join(command_line(int(path.name)) for path in Path("/proc").glob("[0-9]*"))
        service.kill(job_id, grace=0, wait="true")
    assert b"bwrap\0--args\0" in shown
    assert job_id.encode() not in shown
    assert b"hidden" not in shown


# Set-user-ID programs


def _tells_its_user() -> bytes:
    """A whole program that exits with the low byte of its effective user: 0 for root."""
    code = bytes.fromhex("b86b000000 0f05 89c7 b83c000000 0f05".replace(" ", ""))  # geteuid, exit
    at, size = 0x400000, 64 + 56 + len(code)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, at + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, at, at, size, size, 0x1000) + code


@pytest.fixture
def suid(place: Path) -> Path:
    """A program of root's with the bit."""
    if platform.machine() != "x86_64":
        pytest.skip("the program is in the language of another processor")
    path = place / "suid"
    path.write_bytes(_tells_its_user())
    path.chmod(0o4755)
    if subprocess.run([str(path)], user=USER, check=False).returncode:
        pytest.skip("set-user-ID programs don't work where temporary files are")
    return path


NOT_ROOT = NOBODY.pw_uid & 0xFF


@pytest.mark.parametrize("limits", [{}, {"OpenFiles": 64}], ids=["plain", "limited"])
def test_a_set_user_id_program_gives_a_job_nothing(
    place: Path, suid: Path, limits: dict[str, int]
) -> None:
    body = {"CommandLine": f"grep -h NoNewPrivs /proc/self/status; {suid}", "Limits": limits}
    with running(place / "state", environment=AS_NOBODY) as service:
        view = service.run(body)
        assert service.output(view["ID"]).split() == [b"NoNewPrivs:", b"1"]
        assert view["ExitCode"] == NOT_ROOT
    allowed = {**AS_NOBODY, "JOBRUNNER_ALLOW_NEW_PRIVILEGES": "1"}
    with running(place / "allowed", environment=allowed) as service:
        assert service.run(body)["ExitCode"] == 0


@pytest.mark.docker
def test_a_set_user_id_program_that_a_container_left_gives_a_job_nothing(
    place: Path, suid: Path, dockerd: Dockerd, as_nobody: Service
) -> None:
    with _image(dockerd, place, suid) as image:
        environment = {**dockerd.environment, **AS_NOBODY, "JOBRUNNER_DOCKER_USER": "0:0"}
        with running(place / "state", environment=environment) as service:
            steps = job(
                "chmod 777 .",
                docker("cp -p /bin/suid here; ls -ln here", Image=image),
                "stat -c '%u %a' here; ./here",
            )
            view = service.run(steps)
            assert b"0 4755\n" in service.output(view["ID"])
            assert outcome(view, 2) == ("exited", NOT_ROOT, None)
        # In the container itself, where the user is nobody.
        view = as_nobody.run(job(docker(Image=image, Arguments=["/bin/suid"])))
        assert outcome(view) == ("exited", NOT_ROOT, None)


@contextmanager
def _image(dockerd: Dockerd, place: Path, suid: Path) -> Iterator[str]:
    """The tests' own image and the program, with its bit."""
    root = place / "image"
    root.mkdir()
    (root / "bin").mkdir()
    shutil.copy(dockerd.folder / "image/bin/busybox", root / "bin/busybox")
    for name in ("sh", "cp", "ls"):
        (root / "bin" / name).symlink_to("busybox")
    shutil.copy(suid, root / "bin/suid")
    (root / "bin/suid").chmod(0o4755)
    archive = subprocess.check_output(["tar", "-C", str(root), "--owner=0", "--group=0", "-c", "."])
    dockerd.client("import", "-c", "ENV PATH=/bin", "-", "suid:1", input=archive)
    try:
        yield "suid:1"
    finally:
        dockerd.client("image", "rm", "suid:1")


@pytest.mark.docker
def test_root_in_a_container_has_the_capabilities_that_are_named_and_no_others(
    place: Path, dockerd: Dockerd
) -> None:
    line = "grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status"
    as_root = {**dockerd.environment, **AS_NOBODY, "JOBRUNNER_DOCKER_USER": "0"}
    with running(place / "state", environment=as_root) as service:
        words = said(service, job(docker(line))).split()
        assert words == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]
    some = {**as_root, "JOBRUNNER_DOCKER_CAPABILITIES": "CHOWN CAP_KILL"}
    with running(place / "some", environment=some) as service:
        words = said(service, job(docker(line))).split()
        assert [int(words[1], 16), int(words[3], 16), words[5]] == [1 | 1 << 5] * 2 + ["1"]


# Images


@pytest.mark.docker
def test_only_allowed_images_run_whatever_they_are_called(place: Path, dockerd: Dockerd) -> None:
    environment = {
        **dockerd.environment,
        "JOBRUNNER_DOCKER_IMAGES": "docker.io/library/test-busybox:1 *.example/a/*",
    }
    dockerd.client("tag", IMAGE, "registry.example.com/team/tool:1")
    number = dockerd.client("image", "inspect", "--format", "{{.Id}}", IMAGE)
    short = number.removeprefix("sha256:")[:12]
    with running(place / "state", environment=environment) as service:
        for image in (IMAGE, f"library/{IMAGE}", f"docker.io/library/{IMAGE}"):
            assert said(service, job(docker("echo yes", Image=image))) == "yes\n"
        repository, tag = IMAGE.split(":")
        parts = {"Kind": "docker", "Repository": repository, "Tag": tag, "Arguments": ["true"]}
        assert service.run(job(parts))["ExitCode"] == 0
        for image in (
            repository,
            f"{repository}:2",
            f"{IMAGE}@{number}",
            f"other/{IMAGE}",
            "registry.example.com/team/tool:1",
            f"evil.com/x.example/a/{repository}",
            short,
            f"sha256:{short}",
        ):
            assert refused_at(service, job(docker("true", Image=image))) == ["/Commands/0/Image"]
        assert refused_at(service, job({**parts, "Tag": "2"})) == ["/Commands/0/Repository"]


@pytest.mark.docker
def test_an_images_id_does_not_stand_for_a_name_that_is_allowed(
    place: Path, dockerd: Dockerd
) -> None:
    number = dockerd.client("image", "inspect", "--format", "{{.Id}}", IMAGE)
    short = number.removeprefix("sha256:")[:12]
    assert dockerd.client("run", "--rm", short, "echo", "by its ID") == "by its ID"
    environment = {**dockerd.environment, "JOBRUNNER_DOCKER_IMAGES": "docker.io/library/*"}
    with running(place / "state", environment=environment) as service:
        for image in (short, f"sha256:{short}"):
            view = service.run(job(docker("echo ran", Image=image, Pull="never")))
            assert view["Error"].startswith("There is no image ")
            assert b"ran" not in service.output(view["ID"], stream="stdout")


# Networks


@pytest.mark.docker
def test_a_container_has_no_network_that_the_operator_did_not_name(
    place: Path, dockerd: Dockerd, as_nobody: Service
) -> None:
    number = dockerd.client("network", "inspect", "--format", "{{.Id}}", "host")
    others = ("host", "bridge", "default", "HOST", number, number[:12], "container:some")
    for network in others:
        body = job(docker("true", Network=network))
        assert refused_at(as_nobody, body) == ["/Commands/0/Network"]
    assert said(as_nobody, job(docker("echo yes", Network="none"))) == "yes\n"
    named = {**dockerd.environment, "JOBRUNNER_NETWORKS": "host"}
    with running(place / "named", environment=named) as service:
        connect = f"nc -w 2 127.0.0.1 {service.port} </dev/null && echo connected"
        assert said(service, job(docker(connect, Network="host"))) == "connected\n"
        for network in others[1:]:
            assert refused_at(service, job(docker("true", Network=network)))


@pytest.mark.usefixtures("bubblewrap")
def test_a_sandbox_has_the_hosts_network_only_where_the_operator_named_it(place: Path) -> None:
    environment = {"JOBRUNNER_SANDBOX": "bwrap", "JOBRUNNER_NETWORKS": "other"}
    with running(place / "state", environment=environment) as service:
        body = job({"CommandLine": "true", "Network": "host"})
        assert refused_at(service, body) == ["/Commands/0/Network"]
        assert service.run(job({"CommandLine": "true", "Network": "none"}))["ExitCode"] == 0


# Directories of the host

# Exchanges two names for ever, once it has said so. Source: renameat2(2).
_EXCHANGE = """
import ctypes, sys
one, other = (path.encode() for path in sys.argv[1:])
libc = ctypes.CDLL(None)
assert libc.renameat2(-100, one, -100, other, 2) == 0
print("ready", flush=True)
while True:
    libc.renameat2(-100, one, -100, other, 2)
"""


@contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """A process of the jobs' user that does nothing but exchange these."""
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    argv = [python, "-c", _EXCHANGE, str(one), str(other)]
    with subprocess.Popen(
        argv, user=USER, group=NOBODY.pw_gid, extra_groups=(), cwd="/", stdout=-1
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


def _given_to_nobody(path: Path) -> Path:
    path.mkdir()
    os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    return path


@pytest.mark.docker
def test_a_directory_that_a_job_exchanges_leads_no_container_to_the_host(
    place: Path, dockerd: Dockerd
) -> None:
    """The listed directory is the jobs' to write to, and can be had; nothing below it can."""
    shared = _given_to_nobody(place / "shared")
    (shared / "moving").mkdir()
    (shared / "link").symlink_to("/")
    fixed = place / "fixed"
    (fixed / "deep").mkdir(parents=True)
    environment = {
        **dockerd.environment,
        **AS_NOBODY,
        "JOBRUNNER_DOCKER_VOLUMES": f"{shared}:{fixed}",
    }
    with running(place / "state", environment=environment) as service:
        with exchanging(shared / "moving", shared / "link"):
            for _ in range(12):
                for body in (
                    job(docker("ls /in", Volumes=[f"{shared}/moving:/in"])),
                    job(docker("ls /data"), WorkingDir=f"{shared}/moving"),
                ):
                    assert service.client.post("/", json=body).status_code == 422
                view = service.run(
                    job(docker("ls /in /deep", Volumes=[f"{shared}:/in", f"{fixed}/deep:/deep"]))
                )
                assert view["ExitCode"] == 0, view
                assert b"etc" not in service.output(view["ID"])
        body = job(docker("pwd; ls"), WorkingDir=f"{fixed}/deep")
        assert said(service, body) == "/data\n"


@pytest.mark.docker
def test_what_is_exchanged_after_a_job_was_accepted_is_an_outcome(
    place: Path, dockerd: Dockerd
) -> None:
    fixed = place / "fixed"
    (fixed / "deep" / "er").mkdir(parents=True)
    environment = {**dockerd.environment, **AS_NOBODY, "JOBRUNNER_DOCKER_VOLUMES": str(fixed)}
    with running(place / "state", environment=environment) as service:
        job_id = service.submit(
            job(
                "mkfifo go; chmod 666 go; echo up; read -r _ < go",
                docker("ls /in", Volumes=[f"{fixed}/deep/er:/in"]),
            )
        )
        with attached(service, job_id) as output:
            assert next(output) == "up"
            (fixed / "deep").chmod(0o777)
            (Path(service.show(job_id)["WorkingDir"]) / "go").write_text("\n")
        view = service.wait(job_id)
        assert outcome(view, 1) == ("exited", None, None)
        assert f"jobs can write to {fixed}/deep" in view["Error"]


def test_a_volume_that_jobs_can_exchange_is_no_start(place: Path) -> None:
    shared = _given_to_nobody(place / "shared")
    (shared / "below").mkdir()
    for mode, path in ((0o755, shared / "below"), (0o777, place / "open" / "below")):
        path.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(mode)
        told = refused(place / "state", DOCKER_VOLUMES=str(path), RUN_AS=USER)
        assert f"Jobs can write to {path.parent}" in told
        assert "JOBRUNNER_DOCKER_VOLUMES" in told


def refused(state_dir: Path, **settings: str) -> str:
    """What a start says that is refused with exit status 2."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBRUNNER_")}  # noqa: TID251 - what a person's shell would pass
    done = subprocess.run(
        [sys.executable, "-m", "sanic", "service.app", "--single-process"],
        env={
            **inherited,
            "JOBRUNNER_STATE_DIR": str(state_dir),
            "JOBRUNNER_PORT": str(free_port()),
            **{f"JOBRUNNER_{name}": value for name, value in settings.items()},
        },
        capture_output=True,
        text=True,
        timeout=START_FUSE_S,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


@pytest.mark.docker
def test_no_container_has_the_services_own_files(place: Path, dockerd: Dockerd) -> None:
    state_dir = place / "listed" / "state"
    state_dir.parent.mkdir()
    environment = {
        **dockerd.environment,
        **AS_NOBODY,
        "JOBRUNNER_DOCKER_VOLUMES": f"{place}/listed",
    }
    with running(state_dir, environment=environment) as service:
        for path in (place / "listed", state_dir, state_dir / "jobs"):
            body = job(docker("true", Volumes=[f"{path}:/in"]))
            assert refused_at(service, body) == ["/Commands/0/Volumes/0"]


# The daemon's time


@pytest.mark.docker
def test_a_search_path_of_thousands_is_not_looked_through(as_nobody: Service) -> None:
    directories = ":".join([*(f"/{n}" for n in range(5000)), "/bin"])
    command = docker("exit 127", Environment={"PATH": directories})
    view = as_nobody.run(job(command, Timeout=20))
    assert outcome(view) == ("exited", 127, None)

"""JOBRUNNER_PID_NAMESPACE: a job sees no other process, and nothing of it outlives it or its kill.

As root, and as an ordinary user, who needs a user namespace for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from gates import lines
from running import Service, running

from service.host.procfs import all_pids

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run as somebody else"),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]
USER = "nobody"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that everybody may pass through."""
    place = tmp_path_factory.mktemp("open")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    return place


@pytest.fixture(scope="module", params=["root", USER])
def service(request: pytest.FixtureRequest, place: Path) -> Iterator[Service]:
    """By walking the tree: with a cgroup the supervisor finds a job's processes in any case."""
    environment = {"JOBRUNNER_PID_NAMESPACE": "on", "JOBRUNNER_CGROUP": "off"}
    if request.param != "root":
        environment["JOBRUNNER_RUN_AS"] = request.param
    with running(place / request.param, environment=environment) as service:
        yield service


def argument() -> str:
    """One of sleep's that no other process has."""
    return f"1000.{uuid.uuid4().int % 10**12}"


def with_argument(text: str) -> list[int]:
    found = []
    for pid in all_pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if text.encode() in words:
            found.append(pid)
    return found


def test_a_command_sees_its_own_processes_and_the_hosts_files(service: Service, tmp_path: Path):
    shared = tmp_path.parent.parent
    line = (
        f"echo $$ $PPID; ls -d /proc/[0-9]*; cat /proc/$$/comm; stat -c %U .; ls -d {shared}; pwd"
    )
    view = service.run(line)
    pid, parent, *rest = service.output(view["ID"]).decode().split()
    assert (pid, parent) == ("2", "1")
    directory = view["WorkingDir"]
    owner = next(name for name in (USER, "root") if name in rest)
    assert owner == pwd.getpwuid(os.stat(directory).st_uid).pw_name
    assert {"/proc/1", "/proc/2", "bash", str(shared), directory} <= set(rest)
    assert len([word for word in rest if word.startswith("/proc/")]) <= 4


@pytest.mark.parametrize(
    ("line", "code"), [("exit 3", 3), ("kill -SEGV $$", 139), ("exec sh -c 'kill -9 $$'", 137)]
)
def test_a_signal_is_told_by_the_exit_code(service: Service, line: str, code: int):
    view = service.run(line)
    assert (view["State"], view["ExitCode"], view["Signal"]) == ("exited", code, None)


@pytest.mark.parametrize(
    "line", ["kill $PPID", "kill -9 $PPID", "pkill -P $PPID", "pkill -9 sleep", "kill -9 -1"]
)
def test_no_signal_reaches_another_job(service: Service, line: str):
    sleeper = argument()
    other = service.submit(f"echo up; exec sleep {sleeper}")
    assert lines(service, other, 1) == ["up"]
    service.run(line)
    assert service.show(other)["State"] == "running"
    assert with_argument(sleeper) != []
    service.kill(other, grace=0)


def test_what_a_command_leaves_behind_ends_with_it(service: Service):
    left = argument()
    view = service.run(f"setsid env -i sleep {left} > /dev/null 2>&1 & exit 4")
    assert (view["State"], view["ExitCode"]) == ("exited", 4)
    assert with_argument(left) == []


def test_a_signal_reaches_what_runs_in_the_namespace(service: Service):
    # A shell's child may miss a signal until its exec.
    child = f"bash -c 'echo up; exec sleep {argument()}'"
    job = service.submit(f"trap 'echo got' HUP; {child} & wait; wait; exit 3")
    assert lines(service, job, 1) == ["up"]
    for name, count in (("STOP", 2), ("CONT", 2), ("HUP", 2)):
        answer = service.client.post(f"/{job}/signal?signal={name}")
        assert answer.json()["Processes"] == count
    assert service.wait(job)["ExitCode"] == 3
    assert service.output(job) == b"up\ngot\n"


@pytest.mark.parametrize("name", ["KILL", "INT"])
def test_what_dies_of_a_signal_there_is_told_by_the_exit_code(service: Service, name: str):
    job = service.submit(f"echo up; exec sleep {argument()}")
    assert lines(service, job, 1) == ["up"]
    assert service.client.post(f"/{job}/signal?signal={name}").json()["Processes"] == 1
    view = service.wait(job)
    code = 128 + signal.Signals[f"SIG{name}"]
    assert (view["State"], view["ExitCode"], view["Signal"]) == ("exited", code, None)


@pytest.mark.parametrize("grace", [0, 30])
def test_a_kill_ends_all_of_it(service: Service, grace: int):
    sleepers = argument()
    leave = f"(setsid env -i sleep {sleepers} &)"
    # A shell's child may miss a signal until its exec.
    child = f"bash -c 'echo up; exec sleep {sleepers}'"
    job = service.submit(f"trap 'echo caught' TERM; {leave}; {child}")
    assert lines(service, job, 1) == ["up"]
    service.kill(job, grace=grace)
    view = service.wait(job)
    assert (view["State"], view["Kill"]["VerifiedGone"]) == ("killed", True)
    assert with_argument(sleepers) == []
    assert (b"caught" in service.output(job)) == (grace > 0)


def test_a_timeout_ends_all_of_it(service: Service):
    left = argument()
    line = f"(setsid env -i sleep {left} &); sleep {left}"
    view = service.run({"CommandLine": line, "Timeout": 0.5, "Grace": 1})
    assert (view["State"], view["Reason"]) == ("killed", "timeout")
    assert view["Kill"]["VerifiedGone"]
    assert with_argument(left) == []


def test_a_job_reads_its_input_there(service: Service) -> None:
    job_id = service.submit({"CommandLine": "cat < /dev/stdin", "Stdin": True})
    service.client.post(f"/{job_id}/stdin?eof=true", content=b"one\n")
    assert service.wait(job_id)["ExitCode"] == 0
    assert service.output(job_id) == b"one\n"

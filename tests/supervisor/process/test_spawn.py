"""What a command finds when it begins: its own session, three descriptors, nothing of its parent's."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.supervisor.process.credentials import popen
from service.supervisor.process.marks import mark_of

LOOK = """
import json, os, resource, signal, sys
print(json.dumps({
    "descriptors": {int(n): os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{n}")},
    "stdin": sys.stdin.read(),
    "pid": os.getpid(), "session": os.getsid(0), "group": os.getpgid(0), "parent": os.getppid(),
    "ignored": [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN],
    "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
    "environment": dict(os.environ), "directory": os.getcwd(), "umask": os.umask(0),
}))
"""


def look(client, job, **options):
    """What a Python program sees; that ignores two signals by itself, whatever it was given."""
    assert client.claim(job)
    client.start(job, "", argv=[sys.executable, "-I", "-S", "-c", LOOK], **options)
    event = client.event(job, "finished")
    assert event["outcome"] == "exited"
    return json.loads(client.output(job))


@pytest.fixture
def seen(client, job):
    return look(client, job)


def test_three_descriptors_and_the_input_ended(seen):
    kinds = {n: target.partition(":")[0] for n, target in seen["descriptors"].items()}
    assert kinds == {"0": "/dev/null", "1": "pipe", "2": "pipe"}
    assert seen["descriptors"]["1"] != seen["descriptors"]["2"]
    assert seen["stdin"] == ""


def test_a_session_of_its_own(seen, shared_supervisor):
    assert seen["pid"] == seen["session"] == seen["group"]
    assert seen["parent"] == shared_supervisor.process.pid


def test_exactly_the_environment_that_was_sent_and_the_mark_of_the_state_directory(
    seen, client, job
):
    assert seen["environment"] == {
        "PATH": "/usr/bin:/bin",
        "JOBRUNNER_JOB_ID": job,
        "JOBRUNNER_COMMAND": "0",
        "JOBRUNNER_STATE": mark_of(client.state_dir),
    } | {k: v for k, v in seen["environment"].items() if k == "LC_CTYPE"}  # Python's own


def test_a_supervisor_that_was_started_with_signals_ignored_passes_none_on(start_supervisor):
    script = "trap '' INT QUIT HUP USR1; exec \"$@\""
    supervisor = start_supervisor("--cgroup", "off", wrapper=("bash", "-c", script, "-"))
    seen = look(supervisor.connect(), "job")
    assert set(seen["ignored"]) <= {signal.SIGPIPE, signal.SIGXFSZ}
    assert seen["blocked"] == []


def test_a_supervisor_encodes_in_utf_8_in_any_locale(start_supervisor):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    client = start_supervisor("--cgroup", "off", environment=environment).connect()
    work = client.state_dir / "jobs" / "job" / "work"
    client.run("job", "pwd; echo ä", cwd=str(work / "日本"))
    assert client.event("job", "ended")["status"] == 0
    client.event("job", "finished")
    assert client.output("job").decode() == f"{work}/日本\nä\n"


# Ignores what no library call can, as posix_spawn of glibc does in the child, and becomes its arguments.
IGNORE_RESERVED = """
import ctypes, os, sys
from service.supervisor.process.dispositions import _RT_SIGACTION
ignore = (1).to_bytes(8, sys.byteorder) + bytes(24)
for number in (32, 33):
    assert ctypes.CDLL(None).syscall(_RT_SIGACTION[os.uname().machine], number, ignore, None, 8) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_signals_that_glibc_keeps_for_itself_are_not_passed_on_either(start_supervisor):
    wrapper = (sys.executable, "-P", "-c", IGNORE_RESERVED)
    ignored = subprocess.check_output([*wrapper, "/bin/grep", "SigIgn", "/proc/self/status"])
    assert int(ignored.split()[1], 16) >> 31 & 3 == 3
    client = start_supervisor("--cgroup", "off", wrapper=wrapper).connect()
    client.run("job", "exec grep SigIgn /proc/self/status")
    client.event("job", "finished")
    assert int(client.output("job").split()[1], 16) == 0


def test_sigpipe_ends_a_command_as_it_does_in_a_shell(client, job):
    client.run(job, "set -o pipefail; yes | head -n1; echo ${PIPESTATUS[0]} >&2")
    client.event(job, "finished")
    assert client.output(job).split() == [b"y", b"141"]


def test_the_soft_limit_on_descriptors_is_the_one_of_before(start_supervisor):
    script = 'ulimit -Sn 200; exec "$@"'
    supervisor = start_supervisor("--cgroup", "off", wrapper=("bash", "-c", script, "-"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert look(supervisor.connect(), "job")["limit"] == [200, hard]
    raised = resource.prlimit(supervisor.process.pid, resource.RLIMIT_NOFILE)
    assert raised == (hard, hard)


def test_descriptors_above_the_limit_of_a_command_are_its_output(start_supervisor, fifo):
    script = 'ulimit -Sn 64; exec "$@"'
    supervisor = start_supervisor("--cgroup", "off", wrapper=("bash", "-c", script, "-"))
    client, go = supervisor.connect(), fifo()
    for number in range(40):
        client.run(f"holds-{number}", f"read < {go.path}")
    assert len(os.listdir(f"/proc/{supervisor.process.pid}/fd")) > 64
    client.run("job", "echo out; echo err >&2; ulimit -Sn")
    client.event("job", "finished")
    assert sorted(client.output("job").split()) == [b"64", b"err", b"out"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cwd": "/no/such/place", "create": False}, "'/no/such/place' does not exist"),
        ({"cwd": "/etc/passwd", "create": False}, "'/etc/passwd' is not a directory"),
        ({"cwd": "/tmp/own", "create": True}, "'/tmp/own' does not exist"),
        ({"argv": ["/no/such/program"]}, "'/no/such/program' was not found"),
        ({"argv": ["/etc/passwd"]}, "'/etc/passwd' could not be started: Permission denied"),
        ({"argv": ["/bin/echo", "x" * 200_000]}, "longer than the kernel takes"),
        ({"argv": ["/bin/echo", "a\0b"]}, "null byte"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:20],
)
def test_what_cannot_be_started_is_an_outcome_told_in_a_sentence(client, job, options, words):
    assert client.claim(job)
    client.start(job, "true", **options)
    refused = client.event(job, "refused")
    assert words in refused["error"]
    assert refused["error"].endswith(".")
    event = client.event(job, "finished")
    assert (event["outcome"], event["end_offset"]) == ("exited", 0)


def test_refusals_leave_no_descriptor_behind(client, job, shared_supervisor):
    directory = f"/proc/{shared_supervisor.process.pid}/fd"
    counts = []
    for number in range(3):
        name = f"{job}-{number}"
        client.claim(name)
        client.start(name, "", argv=["/no/such/program"])
        client.event(name, "finished")
        client.sync()
        counts.append(len(os.listdir(directory)))
    assert len(set(counts)) == 1


def test_jobs_leave_no_descriptor_timer_or_zombie_behind(client, job, shared_supervisor):
    pid = shared_supervisor.process.pid
    counts = []
    for number in range(5):
        name = f"{job}-{number}"
        client.run(name, "echo out; echo err >&2", timeout_s=300)
        client.event(name, "finished")
        client.send("release", job=name)
        client.sync()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        counts.append((len(os.listdir(f"/proc/{pid}/fd")), children))
    assert set(counts) == {(counts[0][0], "")}


def test_a_directory_of_the_jobs_own_is_made(client, job, shared_supervisor):
    directory = shared_supervisor.state_dir / "jobs" / job / "work" / "a" / "b"
    seen = look(client, job, cwd=str(directory))
    assert seen["directory"] == str(directory)


def test_a_command_line_of_100_kb_and_an_environment_of_500_kb_come_through(client, job):
    environment = {f"V{n}": "x" * 1000 for n in range(500)}
    client.run(
        job,
        f": {'y' * 100_000}; set | grep -c ^V..*=xxx",
        env={"PATH": "/usr/bin:/bin", "JOBRUNNER_JOB_ID": job, **environment},
    )
    client.event(job, "finished")
    assert client.output(job) == b"500\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run")
@pytest.mark.parametrize("no_new_privs", [False, True])
def test_a_child_that_its_user_stops_before_it_is_its_program_holds_nobody(no_new_privs):
    child = popen(
        ["/bin/true"],
        no_new_privs=no_new_privs,
        user=12345,
        preexec_fn=lambda: os.kill(os.getpid(), signal.SIGSTOP),
    )
    assert child.wait() == -signal.SIGKILL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start commands as somebody else")
def test_another_user_has_their_supplementary_groups(client, job, tmp_path):
    """In the command, and where its working directory is entered."""
    place = tmp_path / "of-the-group"
    place.mkdir(mode=0o750)
    os.chown(place, 0, 54321)
    for directory in (tmp_path, *tmp_path.parents[:-1]):
        if directory.stat().st_uid == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    user = {"uid": 65534, "gid": 65534, "groups": [54321, 54322]}
    options = {"cwd": str(place), "create_cwd": False}
    client.run(job, "pwd; id -G", run_as=user, **options)
    client.event(job, "finished")
    assert client.output(job).decode() == f"{place}\n65534 54321 54322\n"
    without = {"uid": 65534, "gid": 65534}
    client.run(f"{job}-without", "pwd", run_as=without, **options)
    assert "may not be entered" in client.event(f"{job}-without", "refused")["error"]
    client.event(f"{job}-without", "finished")

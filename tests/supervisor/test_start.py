"""How supervisors start, how they end, and what one finds that another left."""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.link.launch import SupervisorFailed, connect_or_start, start
from service.link.session import SupervisorSession


@pytest.fixture
def ready(fifo):
    return fifo()


@pytest.fixture
def go(fifo):
    return fifo()


@pytest.fixture
def launched(state_dir, new_pid):
    """Starts supervisors as the service does; what is left of them is ended."""
    seen = []

    def launch():
        state_dir.mkdir(exist_ok=True)
        start(state_dir, cgroup="off")
        seen.append(new_pid(int((state_dir / "supervisor.lock").read_text().split()[1])))
        return seen[-1]

    yield launch
    for process in seen:
        process.kill()
        process.wait()


def lives(process):
    return not process.is_gone


def supervisors_of(state_dir):
    """Their numbers, as `ps` tells them by their command lines."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if b"service.supervisor" in words and os.fsencode(state_dir) in words:
                found.append(int(entry.parent.name))
    return found


# --------------------------------------------------------------------------------- one at a time


def test_of_many_started_at_once_one_serves(state_dir, new_pid):
    state_dir.mkdir()
    failures = []

    def launch():
        try:
            start(state_dir, cgroup="off")
        except SupervisorFailed as exc:
            failures.append(exc)

    threads = [threading.Thread(target=launch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    log = [json.loads(line) for line in (state_dir / "supervisor.log").read_text().splitlines()]
    events = [entry["event"] for entry in log]
    # One that nobody has spoken to for some seconds ends: on a busy machine before all were started.
    lives = [name for name in events if name in ("supervisor_started", "supervisor_ended")]
    assert lives[::2] == ["supervisor_started"] * len(lives[::2]), "never two at the same time"
    assert lives[1::2] == ["supervisor_ended"] * len(lives[1::2])
    assert len(lives[::2]) + events.count("supervisor_exists") == 4
    for number in supervisors_of(state_dir):
        with contextlib.suppress(ProcessLookupError):
            process = new_pid(number)
            process.kill()
            process.wait()


def test_who_finds_one_connects_to_it(launched, state_dir):
    process = launched()

    async def connect():
        connection, hello = await connect_or_start(
            state_dir, cgroup="off", on_messages=print, on_lost=print
        )
        connection.close()
        return hello

    assert asyncio.run(connect())["pid"] == process.number


def test_who_finds_none_starts_one(state_dir, new_pid):
    state_dir.mkdir()

    async def connect():
        connection, hello = await connect_or_start(
            state_dir, cgroup="off", on_messages=print, on_lost=print
        )
        connection.close()
        return hello

    process = new_pid(asyncio.run(connect())["pid"])
    assert lives(process)
    process.kill()
    process.wait()


def test_who_meets_a_dead_ones_socket_starts_another(launched, state_dir):
    first = launched()
    first.kill()
    first.wait()
    assert (state_dir / "supervisor.sock").exists()
    second = launched()
    assert lives(second)
    assert second.number != first.number


def test_it_lives_in_a_session_of_its_own_and_holds_no_directory(launched, state_dir):
    process = launched()
    assert os.getsid(process.number) == process.number
    assert os.readlink(f"/proc/{process.number}/cwd") == "/"
    files = [os.readlink(f"/proc/{process.number}/fd/{n}") for n in range(3)]
    assert files == ["/dev/null", *[str(state_dir / "supervisor.log")] * 2]
    for name in ("supervisor.sock", "supervisor.lock", "supervisor.log"):
        assert (state_dir / name).stat().st_mode & 0o777 == 0o600


def test_it_cannot_start_where_there_is_no_directory(tmp_path):
    with pytest.raises(SupervisorFailed):
        start(tmp_path / "nowhere", cgroup="off")


def test_a_path_longer_than_a_sockets_serves(start_supervisor, tmp_path):
    deep = tmp_path / "/".join(["a-long-name-of-a-directory"] * 8)
    assert len(str(deep)) > 200
    supervisor = start_supervisor("--cgroup", "off", state_dir=deep)
    client = supervisor.connect()
    client.run("job", "echo $PWD")
    client.event("job", "finished")
    assert client.output("job").decode() == f"{deep}/jobs/job/work\n"

    async def connect():
        directory = os.open(deep, os.O_RDONLY)
        try:
            connection, hello = await SupervisorSession.open(directory, print, print)
        finally:
            os.close(directory)
        connection.close()
        return hello["pid"]

    assert asyncio.run(connect()) == supervisor.process.pid


# ---------------------------------------------------------------------------------------- the end


def test_an_idle_one_ends_one_that_is_to_stay_or_has_a_job_does_not(
    launched, start_supervisor, tmp_path, go
):
    staying = start_supervisor("--cgroup", "off", state_dir=tmp_path / "staying")
    busy = start_supervisor("--cgroup", "off", state_dir=tmp_path / "busy", stay=False)
    client = busy.connect()
    client.run("job", f"read < {go}")
    client.event("job", "started")
    client.close()
    idle = launched()
    poller = select.poll()
    poller.register(idle.descriptor, select.POLLIN)
    assert poller.poll(20_000), "it should have ended after 5 s"
    assert staying.process.poll() is None
    assert list(supervisors_of(tmp_path / "busy")) != []
    assert staying.connect().hello["jobs"] == []
    late = busy.connect()
    assert late.hello["jobs"] == ["job"]
    late.expect("adopt", job="job")
    go.go()
    late.event("job", "finished")
    late.send("release", job="job")
    late.sync()


# ----------------------------------------------------------------------- what a dead one left


LEFT = """
sleep 1000 & echo $! > {ready}
(setsid bash -c 'echo $$ > {ready}; exec sleep 1000' &)
env -i bash -c 'echo $$ > {ready}; exec sleep 1000' &
(trap '' TERM; echo $BASHPID > {ready}; exec sleep 1000) &
(setsid bash -c 'env -i bash -c "echo \\$\\$ > {ready}; exec sleep 1000" & exec sleep 1000' &)
echo $$ > {ready}; exec sleep 1000
"""


@pytest.mark.parametrize("way", ["off", pytest.param("auto", marks=pytest.mark.cgroup)])
def test_a_new_one_sweeps_what_a_killed_one_left_and_serves(start_supervisor, ready, way):
    first = start_supervisor("--cgroup", way)
    client = first.connect()
    client.run("job", LEFT.format(ready=ready))
    left = ready.pids(6)
    first.process.kill()
    first.process.wait()
    assert all(lives(process) for process in left)
    second = start_supervisor("--cgroup", way)
    assert [process.number for process in left if lives(process)] == []
    assert second.process.poll() is None
    successor = second.connect()
    assert successor.hello["jobs"] == []
    assert successor.hello["nonce"] != client.hello["nonce"]
    successor.run("another", "echo served")
    assert successor.event("another", "finished")["outcome"] == "exited"


def test_the_sweep_spares_other_peoples_processes(start_supervisor, tmp_path, ready):
    """Jobs of another state directory, and whoever started the supervisor, be it a job of its own."""
    other = start_supervisor("--cgroup", "off", state_dir=tmp_path / "other")
    client = other.connect()
    client.run("job", f"echo $$ > {ready}; exec sleep 1000")
    (stranger,) = ready.pids(1)
    (tmp_path / "state" / "jobs" / "own").mkdir(parents=True)
    supervisor = start_supervisor(
        "--cgroup",
        "off",
        environment={"JOBRUNNER_JOB_ID": "own"},
        wrapper=("bash", "-c", '"$@" & echo $! > /dev/null; trap "kill $!" TERM; wait; wait', "-"),
    )
    assert supervisor.process.poll() is None, "who started it lives"
    assert lives(stranger)
    assert supervisor.connect().hello["pid"] == supervisor.pid


def test_the_sweep_finds_what_an_older_release_has_started(start_supervisor, tmp_path):
    """It named the job alone, which a copy of the state directory has as well."""
    processes = {}
    for name in ("state", "copy"):
        work = tmp_path / name / "jobs" / "job" / "work"
        work.mkdir(parents=True)
        processes[name] = subprocess.Popen(
            ["sleep", "1000"],
            cwd=work,
            env={"PATH": os.defpath, "JOBRUNNER_JOB_ID": "job"},
            start_new_session=True,
        )
    try:
        start_supervisor("--cgroup", "off")
        assert processes["state"].wait(300) == -signal.SIGKILL
        assert processes["copy"].poll() is None
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def test_the_log_of_a_dead_ones_job_is_closed_as_incomplete(start_supervisor, ready):
    first = start_supervisor("--cgroup", "off")
    client = first.connect()
    client.run("job", f"echo said; echo > {ready}; exec sleep 1000")
    ready.line()
    first.connect().sync()  # the loop has been round: what was in the pipe is in the log
    first.process.kill()
    first.process.wait()
    successor = start_supervisor("--cgroup", "off").connect()
    reply = successor.request("close_orphaned_log", job="job")
    assert (reply["ok"], reply["output_complete"], reply["end_offset"]) == (
        True,
        False,
        len(b"said\n"),
    )
    assert successor.request("close_orphaned_log", job="job") == {
        **reply,
        "request_id": reply["request_id"] + 1,
    }
    reply = successor.request("close_orphaned_log", job="never-began")
    assert (reply["end_offset"], reply["output_complete"]) == (0, True)


def test_a_dead_ones_job_without_a_log_may_have_lost_output(start_supervisor, ready):
    first = start_supervisor("--cgroup", "off")
    client = first.connect()
    client.run("job", f"echo > {ready}; exec sleep 1000")
    ready.line()
    first.process.kill()
    first.process.wait()
    reply = start_supervisor("--cgroup", "off").connect().request("close_orphaned_log", job="job")
    assert (reply["ok"], reply["output_complete"], reply["end_offset"]) == (True, False, 0)


# ------------------------------------------------------------------------------- what it is made of


def test_it_stands_on_the_standard_library_alone(start_supervisor, ready):
    """Also after it has run a job, killed one and ended: nothing is imported late."""
    supervisor = start_supervisor("--cgroup", "off", python=("-X", "importtime"))
    client = supervisor.connect()
    client.run("job", "echo hi")
    client.event("job", "finished")
    client.run("killed", f"echo > {ready}; exec sleep 1000")
    ready.line()
    client.kill("killed", grace_s=0)
    client.event("killed", "finished")
    for job in ("job", "killed"):
        client.send("release", job=job)
    client.sync()
    os.kill(supervisor.process.pid, signal.SIGTERM)
    assert client.hung_up()
    assert supervisor.process.wait() == 0
    imported = importtime_names(supervisor.log)
    assert {"asyncio", "service.supervisor.server", "service.output.writer"} <= imported
    # What this environment loads into every interpreter (editable installs, coverage) isn't its own.
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-P", "-c", "import asyncio"],
        capture_output=True,
        text=True,
        check=True,
    )
    tops = {name.partition(".")[0] for name in imported - importtime_names(bare.stderr)}
    others = importlib.metadata.packages_distributions().keys() - {"service"}
    assert {"sanic", "msgspec", "transitions", "structlog"} <= others
    assert tops & (others | {"sqlite3"}) == set()


def importtime_names(text):
    return set(re.findall(r"^import time: .*\| +(\S+)$", text, re.MULTILINE))

"""Whatever a supervisor knows is known to the code that it becomes, and nothing happens in between."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from service.host.procfs import starved_s
from service.output.index import STDOUT
from service.output.writer import LogWriter
from service.supervisor import upgrade
from service.supervisor.snapshot import VERSION, Snapshot, SocketSnapshot, to_json
from service.supervisor.trial import can_follow
from service.supervisor.upgrade import CantResume, Trial, execute


def test_a_log_is_handed_over_with_what_it_could_only_hold(tmp_path):
    log = LogWriter.create(tmp_path)
    read, write = os.pipe()
    os.write(write, b"spliced")
    log.splice_from(read, STDOUT, 0)
    (tmp_path / "output").rename(tmp_path / "elsewhere")  # whatever stands at its path by now
    other = LogWriter.adopt(*log.descriptors, held=b" and held")
    os.close(write)
    assert other.splice_from(read, STDOUT, 0) == 0
    other.close(complete=True)
    os.close(read)
    assert (tmp_path / "elsewhere").read_bytes() == b"spliced and held"
    assert other.state.end == other.state.stdout_end == len(b"spliced and held")


# ------------------------------------------------------------------------------------ new code


def memory_with(text):
    descriptor = os.memfd_create("test")
    os.write(descriptor, text)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def test_new_code_says_beforehand_whether_it_can_read_the_snapshot():
    files = SocketSnapshot(listener=3, file=(1, 2), lock=4, directory=5)
    sound = to_json(Snapshot(nonce="n", socket=files)) | {"of_another_release": 1}
    descriptor = memory_with(json.dumps(sound).encode())
    assert can_follow(VERSION, descriptor)
    os.close(descriptor)
    for broken, error in (
        (sound | {"register": {"entries": [{"seq": 1}]}}, TypeError),
        (sound | {"version": VERSION + 1}, CantResume),
    ):
        descriptor = memory_with(json.dumps(broken).encode())
        with pytest.raises(error):
            can_follow(VERSION, descriptor)
        os.close(descriptor)
    for other in (VERSION - 1, VERSION + 1):
        assert not can_follow(other, -1)


def upgraded(supervisor, client):
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    return supervisor.connect()


@pytest.fixture
def ready(fifo):
    return fifo()


@pytest.fixture
def go(fifo):
    return fifo()


class Clock:
    """A loop whose time a test lets pass."""

    def __init__(self):
        self.set = []

    def call_later(self, seconds, callback, *arguments):
        self.set.append((seconds, callback, arguments))

    def passes(self):
        seconds, callback, arguments = self.set.pop()
        callback(*arguments)
        return seconds


def test_a_trial_that_hangs_is_ended_and_one_without_a_processor_is_waited_for(monkeypatch):
    starved = iter([40.0, 45.0, 45.5])
    clock = Clock()
    with subprocess.Popen(["sleep", "1000"]) as trial:
        monkeypatch.setattr(upgrade, "_try_new_code", lambda _: trial.pid)
        monkeypatch.setattr(upgrade, "starved_s", lambda pid: next(starved) * (pid == trial.pid))
        Trial(clock).request(None, {"type": "upgrade"}, None)
        assert clock.passes() == upgrade._TRIAL_S
        assert clock.passes() == 40
        assert trial.poll() is None
        assert clock.passes() == 5  # half a second more is no reason
        assert clock.set == []
        assert trial.wait() == -signal.SIGKILL


def test_what_a_process_waits_for_a_processor_is_known_unless_it_is_gone():
    assert starved_s(os.getpid()) > 0
    assert starved_s(2**22) == 0


def test_two_who_ask_at_once_get_one_upgrade(plain_supervisor):
    first, second = plain_supervisor.connect(), plain_supervisor.connect()
    first.send("upgrade", request_id=1001)
    second.send("upgrade", request_id=1002)
    assert first.expect("reply", request_id=1001)["ok"]
    assert second.expect("reply", request_id=1002)["ok"]
    assert first.hung_up()
    assert second.hung_up()
    assert plain_supervisor.connect().hello["upgrades"] == 1


def test_what_dies_and_ends_during_an_upgrade_is_known_afterwards(plain_supervisor, ready, go):
    """Jobs that end at any moment of it: each status is the true one, each log is whole."""
    client = plain_supervisor.connect()
    jobs = [f"job-{n}" for n in range(20)]
    for n, job in enumerate(jobs):
        client.run(job, f"echo > {ready}; read < {go}; echo {n}; exit {n}")
    for _ in jobs:
        ready.line()
    client.send("upgrade", request_id=1001)
    for _ in range(10):
        go.go()
    assert client.expect("reply", request_id=1001)["ok"]
    for _ in range(10):
        go.go()
    assert client.hung_up()
    client = plain_supervisor.connect()
    for n, job in enumerate(jobs):
        adopted = client.expect("adopt", job=job)
        events = {event["name"]: event for event in adopted["events"]}
        for name in ("ended", "finished"):
            events.setdefault(name, None)
            events[name] = events[name] or client.event(job, name)
        assert events["ended"]["status"] == n
        assert events["finished"]["output_complete"]
        assert client.output(job) == b"%d\n" % n
        # The acknowledgement was lost with the connection: numbers go on all the same.
        assert [events[name]["seq"] for name in ("started", "ended", "finished")] == [1, 2, 3]


def test_without_a_descriptor_an_upgrade_is_refused_and_everything_goes_on(
    plain_supervisor, ready, go
):
    client = plain_supervisor.connect()
    client.run("job", f"echo begun; echo > {ready}; read < {go}; echo done; exit 3")
    ready.line()
    client.sync()  # the loop has been round: the log is made
    client.sync()
    pid = plain_supervisor.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, limits[1]))
    reply = client.request("upgrade")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert not reply["ok"]
    assert "Too many open files" in reply["why"]
    go.go()
    assert client.event("job", "ended")["status"] == 3
    client.event("job", "finished")
    assert client.output("job") == b"begun\ndone\n"
    assert upgraded(plain_supervisor, client).hello["upgrades"] == 1


def test_an_exec_that_the_kernel_refuses_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    read, write = os.pipe()
    files = SocketSnapshot(listener=write, file=(1, 2), lock=read, directory=read)
    snapshot = Snapshot(nonce="n", socket=files)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        execute([], snapshot)
    assert os.listdir("/proc/self/fd") == before
    assert not os.get_inheritable(read)
    assert not os.get_inheritable(write)
    os.close(read)
    os.close(write)


def test_a_job_that_was_recovered_and_not_yet_asked_for_runs_after_an_upgrade(plain_supervisor):
    client = plain_supervisor.connect()
    client.request("claim", job="new", stored=True, dispatched=-1)
    client.request("claim", job="old", stored=True, dispatched=0)
    client.request("claim", job="unsaid", stored=True)
    client = upgraded(plain_supervisor, client)
    for job, recovered in {"new": False, "old": True, "unsaid": True}.items():
        assert client.expect("adopt", job=job)["is_recovered"] is recovered


@pytest.mark.parametrize("way", ["off", pytest.param("auto", marks=pytest.mark.cgroup)])
def test_a_kill_goes_on_with_its_receipt(start_supervisor, ready, way):
    """Found before, ended after: the receipt counts all of them."""
    supervisor = start_supervisor("--cgroup", way)
    client = supervisor.connect()
    deaf = f"trap '' TERM; echo $BASHPID > {ready}; while :; do wait; read -r -t 1000 < <(:); done"
    client.run("job", f"({deaf}) & ({deaf}) & ({deaf}) & {deaf}")
    ready.pids(4)
    client.kill("job", grace_s=2)
    client = upgraded(supervisor, client)
    events = client.expect("adopt", job="job")["events"]
    if events[-1]["name"] != "finished":
        events.append(client.event("job", "finished"))
    receipt = events[-1]["kill"]
    assert receipt["verified_gone"]
    assert receipt["escalated"]
    assert receipt["found"] >= 4


def test_a_term_that_comes_with_an_upgrade_ends_it(start_supervisor):
    """Before, in the middle or after: the supervisor ends in order, and once."""
    for _ in range(4):
        supervisor = start_supervisor("--cgroup", "off")
        client = supervisor.connect()
        client.send("upgrade", request_id=1001)
        with contextlib.suppress(AssertionError):
            client.expect("reply", request_id=1001)
        os.kill(supervisor.process.pid, signal.SIGTERM)
        assert supervisor.process.wait(300) == 0, supervisor.log

"""Whatever a supervisor knows is known to the code that it becomes, and nothing happens in between."""

import contextlib
import json
import os
import resource
import signal
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.output.index import STDOUT
from service.output.writer import LogWriter
from service.supervisor.job.exit_hooks import Aftermath, Plan
from service.supervisor.job.limits import Limiting, Limits
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.usage import Usage
from service.supervisor.process.cgroup import Cgroup
from service.supervisor.process.controllers import Controllers, Fence
from service.supervisor.process.tree import CgroupTree, WalkTree
from service.supervisor.register import Register
from service.supervisor.snapshot import VERSION, to_json
from service.supervisor.trial import can_follow
from service.supervisor.upgrade import execute

NUMBERS = st.integers(0, 1 << 40)
SECONDS = st.floats(0, 1e9)
TEXT = st.text(max_size=8)
PAIRS = st.sets(st.tuples(NUMBERS, NUMBERS), max_size=3)


def over(state):
    """What a successor reads of it."""
    return json.loads(json.dumps(state))


def same(one, other, *, but=()):
    """Every member, whether the state has it or not: what is forgotten shows."""
    for name in {slot for cls in type(one).__mro__ for slot in getattr(cls, "__slots__", ())}:
        if name not in but:
            ours, theirs = getattr(one, name), getattr(other, name)
            assert over_tuples(ours) == over_tuples(theirs), name


def over_tuples(value):
    """JSON has lists for tuples; nobody who reads them sees the difference."""
    if isinstance(value, (list, tuple)):
        return [over_tuples(item) for item in value]
    if isinstance(value, dict):
        return {key: over_tuples(item) for key, item in value.items()}
    return value


@given(
    st.dictionaries(
        st.integers(0, 100),
        st.builds(
            Plan,
            st.lists(TEXT, max_size=2),
            st.lists(TEXT, max_size=2),
            st.lists(TEXT, max_size=2),
            st.dictionaries(TEXT, TEXT, max_size=2),
        ),
        max_size=2,
    ),
    NUMBERS,
    st.integers(-64, 255),
    NUMBERS,
)
def test_what_follows_a_command_is_handed_over_whole(plans, verdict, status, cleaner):
    aftermath = Aftermath("job")
    aftermath._plans, aftermath._verdict = plans, verdict
    aftermath._status, aftermath._cleaner = status, cleaner
    other = Aftermath("job")
    other.restore(over(aftermath.state()))
    same(aftermath, other)


@given(NUMBERS, SECONDS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_limits_are_handed_over_whole(memory, cpus, pids, open_files, file_size, oom_seen):
    lingering = set()
    limiting = Limiting()
    limiting._limits = Limits(memory, cpus, pids, open_files, file_size)
    limiting._fence = Fence({"memory": "/a", "pids": "/b"}, lingering, is_the_trees=False)
    limiting._fence._oom_seen = oom_seen
    other = Limiting()
    other.restore(over(limiting.state()), Controllers(None, {}, {}))
    same(limiting, other, but=("_fence",))
    same(limiting._fence, other._fence, but=("_lingering",))


@given(SECONDS, NUMBERS)
def test_usage_is_handed_over_whole(cpu_s, peak_bytes):
    used = Usage(cpu_s, peak_bytes)
    same(used, Usage(*over(used.state())))


@given(PAIRS, NUMBERS, st.booleans())
def test_what_a_kill_by_cgroup_has_found_is_handed_over(seen, found, is_killed):
    tree = CgroupTree(Cgroup("/nowhere", -1))
    tree._seen, tree.found, tree._is_killed = seen, found, is_killed
    other = CgroupTree(tree._cgroup)
    other.restore(over(tree.state()))
    same(tree, other)


@given(PAIRS, st.dictionaries(NUMBERS, NUMBERS, max_size=3), st.sets(NUMBERS, max_size=3))
def test_what_a_walk_knows_is_handed_over(seen, known, commands):
    def make(sessions):
        return WalkTree("job", set, sessions)

    tree = make(dict.fromkeys([*commands, 7], "job") | {8: "another"})
    tree._seen, tree.found, tree._known, tree._commands = seen, len(seen), known, commands
    other = make({8: "another"})
    other.restore(over(tree.state()))
    same(tree, other, but=("_others",))


class Job:
    """The register asks a job for nothing else."""

    def __init__(self, state):
        self.id = state["id"]

    def state(self):
        return {"id": self.id}


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.integers(0, 2), st.sampled_from(["", "a", "b"])),
        st.tuples(st.just("record"), st.integers(0, 9), st.just("")),
        st.tuples(st.just("acknowledge"), st.integers(0, 9), st.integers(0, 4)),
        st.tuples(st.just("give_back"), st.integers(0, 9), st.just("")),
        st.tuples(st.just("release"), st.integers(0, 9), st.just("")),
        st.tuples(st.just("next"), st.just(0), st.just("")),
    ),
    max_size=40,
)


def carry_out(register, operations, claimed):
    """What a register answers to all this."""
    told = []
    for name, number, more in operations:
        entries = list(register)
        entry = entries[number % len(entries)] if entries else None
        match name:
            case "claim":
                claimed.append(f"job-{len(claimed)}")
                made = register.claim(
                    Job({"id": claimed[-1]}), None, priority=number, principal=more
                )
                told.append(made.has_slot)
            case "next":
                told += [entry.job.id for entry in register.grant_slots()]
            case "record" if entry:
                told.append(register.record(entry, {"name": "started"}))
            case "acknowledge" if entry:
                register.acknowledge(entry.job.id, more)
                told.append(list(entry.events))
            case "give_back" if entry:
                register.free_slot(entry)
            case "release" if entry:
                register.release(entry.job.id)
    return told


@given(st.integers(1, 4), OPERATIONS, OPERATIONS)
def test_a_register_goes_on_as_it_would_have(max_running, before, after):
    """Run slots, priorities, fair shares, numbers of events, and what isn't acknowledged."""
    register = Register()
    register.max_running = max_running
    claimed = []
    carry_out(register, before, claimed)
    other = Register()
    other.restore(over(register.state()), Job)
    for ours, theirs in zip(register, other, strict=True):
        same(ours, theirs, but=("job",))
    others_claimed = list(claimed)
    assert carry_out(register, after, claimed) == carry_out(other, after, others_claimed)
    assert (register.running, register.waiting) == (other.running, other.waiting)


def test_an_event_that_was_not_acknowledged_outlives_an_upgrade_and_a_late_acknowledgement():
    register = Register()
    entry = register.claim(Job({"id": "job"}), None)
    register.record(entry, {"name": "started"})
    register.record(entry, {"name": "kill_requested"})
    other = Register()
    other.restore(over(register.state()), Job)
    (entry,) = other
    other.record(entry, {"name": "finished"})
    other.acknowledge("job", 2)
    assert [event["name"] for event in entry.events] == ["finished"]


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


def test_new_code_says_beforehand_whether_it_can_read_the_state():
    sound = {
        "id": "job",
        "machine": to_json(JobMachine()),
        "aftermath": Aftermath("job").state(),
        "limiting": Limiting().state(),
        "usage": Usage().state(),
    }
    plan = {"verdict": [], "tidy": [], "cleanup": ["true"], "environment": {}}
    sound["aftermath"]["plans"] = [[0, plan | {"of_another_release": 1}]]
    entry = {"job": sound, "has_slot": True, "waits": False, "seq": 1, "events": []}
    cases = {
        VERSION: b"",  # an older release hands none over
        0: json.dumps({"register": {"max_running": 1, "entries": [entry]}}).encode(),
    }
    for version, text in cases.items():
        descriptor = memory_with(text)
        assert can_follow(version, descriptor)
        os.close(descriptor)
    descriptor = memory_with(json.dumps({"register": {"entries": [entry]}}).encode())
    with pytest.raises(KeyError):
        can_follow(VERSION, descriptor)
    os.close(descriptor)
    assert not can_follow(VERSION + 1, -1)


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
    job = {"pipes": [(read, STDOUT, 0)], "log": None, "aftermath": {"report": -1}}
    state = {"listener": write, "register": {"entries": [{"job": job}]}}
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        execute([], state)
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
        assert supervisor.process.wait(30) == 0, supervisor.log

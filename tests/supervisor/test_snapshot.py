"""A snapshot is read as it was written, whatever is in it, and everything that has one goes on as it would have."""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.supervisor.job.effects import Timer
from service.supervisor.job.limits import LimitEnforcer, Limits, LimitsSnapshot
from service.supervisor.job.log import JobLog
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.processes import JobProcesses
from service.supervisor.job.runner import Job
from service.supervisor.job.stdin import Stdin
from service.supervisor.job.timers import Timers
from service.supervisor.process.attribution import Attribution
from service.supervisor.process.cgroup_v1 import Hierarchies
from service.supervisor.process.tree import Tree, TreeSnapshot
from service.supervisor.register import Register
from service.supervisor.snapshot import (
    EntrySnapshot,
    JobSnapshot,
    RegisterSnapshot,
    Snapshot,
    from_json,
    to_json,
)

MARK = "0123456789abcdef"
SIMPLE = {
    bool: st.booleans(),
    int: st.integers(-1, 1 << 60),
    float: st.floats(0, 1e9),
    str: st.text(max_size=5),
    bytes: st.binary(max_size=5),
    Any: st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
}
COLLECTIONS = {list: list, Sequence: list, set: set, deque: deque}


def values(kind):
    """Any value of this type."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return st.one_of(*(st.none() if one is NoneType else values(one) for one in arguments))
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(*map(values, arguments), max_size=2)
    if origin is set:
        return st.sets(values(arguments[0]), max_size=2)
    if origin in COLLECTIONS:
        return st.lists(values(arguments[0]), max_size=2).map(COLLECTIONS[origin])
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{f.name: values(hints[f.name]) for f in fields(kind)})
    assert issubclass(kind, Enum), f"no JSON for {kind}"
    return st.sampled_from(kind)


def written(value):
    """What is read of it."""
    return from_json(type(value), json.loads(json.dumps(to_json(value))))


def classes(kind=Snapshot):
    """Every dataclass of the tree."""
    found, todo = [], [kind]
    while todo:
        one = todo.pop()
        if is_dataclass(one) and one not in found:
            found.append(one)
            todo += get_type_hints(one).values()
        todo += get_args(one)
    return found


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=10)
@given(st.data())
def test_what_is_read_is_what_was_written(kind, data):
    value = data.draw(values(kind))
    before = repr(value)
    assert written(value) == value
    assert repr(value) == before


def test_the_tree_has_every_part_of_a_job_and_of_the_register():
    names = {kind.__name__ for kind in classes()}
    assert {"JobMachine", "Command", "Escalation", "KillRequest", "Teardown", "Streams"} <= names
    assert {"ExitHooks", "Hooks", "Limits", "Usage", "TreeSnapshot", "LogSnapshot"} <= names
    assert {"EntrySnapshot", "RegisterSnapshot", "SocketSnapshot"} <= names


@dataclass
class Old:
    number: int


@dataclass
class New:
    number: int
    added: list[int]
    has_default: str = "yes"


def test_a_field_with_a_default_may_be_missing_and_an_unknown_key_is_ignored():
    text = {"number": 1, "added": [2], "of_another_release": {"x": 1}}
    assert from_json(New, text) == New(1, [2])
    assert from_json(Old, text) == Old(1)


@pytest.mark.parametrize(
    "text",
    [{"number": 1}, {"number": "1", "added": []}, {"number": 1, "added": 2}, {"number": None}, []],
)
def test_what_is_no_value_of_the_type_raises(text):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        from_json(New, text)


# -------------------------------------------------------------------------------- what has a snapshot


@settings(deadline=None)
@given(values(TreeSnapshot))
def test_a_tree_knows_its_members_afterwards(snapshot):
    snapshot.counted = abs(snapshot.counted)
    snapshot.found = snapshot.counted + len(snapshot.seen)
    with closing(Attribution((), MARK)) as attribution:
        tree = Tree("job", attribution)
        tree.resume(snapshot)
        assert written(tree.snapshot()) == snapshot
        assert attribution.sessions == dict.fromkeys(snapshot.sessions, "job")


def test_a_tree_of_a_release_that_counted_without_a_list_has_the_same_count():
    with closing(Attribution((), MARK)) as attribution:
        tree = Tree("job", attribution)
        tree.resume(from_json(TreeSnapshot, {"found": 3, "seen": [], "is_killed": True}))
        assert tree.found == 3


@given(values(LimitsSnapshot))
def test_limits_are_known_afterwards(snapshot):
    limits = LimitEnforcer()
    controllers = Hierarchies({"memory": "/a", "pids": "/b"}, {})
    limits.resume("job", written(snapshot), controllers)
    if not snapshot.limits.need_controllers:
        snapshot.oom_seen = 0  # nobody counts
    assert limits.snapshot() == snapshot


def test_the_directories_of_a_job_are_found_again():
    limits = LimitEnforcer()
    snapshot = LimitsSnapshot(limits=Limits(memory=1), oom_seen=3)
    limits.resume("job", snapshot, Hierarchies({"memory": "/a", "pids": "/b"}, {}))
    assert limits._cgroup.procs_files == ["/a/job/cgroup.procs", "/b/job/cgroup.procs"]
    limits.resume("job", snapshot, None)


async def test_timers_fire_when_they_would_have():
    loop = asyncio.get_running_loop()
    timers = Timers(loop, lambda _: None)
    timers.arm(Timer.GRACE, 1000)
    timers.arm(Timer.DRAIN, 2000)
    timers.disarm(Timer.DRAIN)
    fired = loop.create_future()
    other = Timers(loop, fired.set_result)
    other.resume(timers.snapshot())
    assert other.snapshot() == timers.snapshot()
    assert set(other.snapshot()) == {Timer.GRACE}
    other.resume({Timer.IDLE: loop.time()})
    assert await fired is Timer.IDLE
    assert set(other.snapshot()) == {Timer.GRACE}
    other.clear()
    timers.clear()
    assert not other.snapshot()


# One that waits for its first command.
JOB = {
    "machine": to_json(JobMachine()),
    "grace_s": 2.0,
    "timers": {},
    "pids": [],
    "tree": None,
    "log": None,
    "hooks": {"job_id": "job"},
    "limits": {},
    "usage": {},
}


class Waiting:
    """The register asks a job for nothing else."""

    def __init__(self, snapshot):
        self.id = snapshot.id
        self._snapshot = snapshot

    def snapshot(self):
        return self._snapshot


def waiting(job_id):
    return Waiting(from_json(JobSnapshot, JOB | {"id": job_id}))


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("claim"), st.integers(0, 2), st.sampled_from([("", 0), ("a", 1), ("b", 2)])
        ),
        st.tuples(st.just("record"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("acknowledge"), st.integers(0, 9), st.integers(0, 4)),
        st.tuples(st.just("give_back"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("release"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("next"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


def carry_out(register, operations, claimed):
    """What a register answers to all this."""
    answers = []
    for name, number, more in operations:
        entries = list(register)
        entry = entries[number % len(entries)] if entries else None
        match name:
            case "claim":
                claimed.append(f"job-{len(claimed)}")
                principal, most = more
                made = register.claim(
                    waiting(claimed[-1]),
                    None,
                    priority=number,
                    principal=principal,
                    max_running=most,
                )
                answers.append(made.has_slot)
            case "next":
                answers += [entry.job.id for entry in register.grant_slots()]
            case "record" if entry:
                answers.append(register.record(entry, {"name": "started"}))
            case "acknowledge" if entry:
                register.acknowledge(entry.job.id, more)
                answers.append(list(entry.events))
            case "give_back" if entry:
                register.free_slot(entry)
            case "release" if entry:
                register.release(entry.job.id)
    return answers


def resumed(register):
    """A register that goes on with the snapshot of another one."""
    other = Register()
    other.resume(written(register.snapshot(Waiting.snapshot)), Waiting)
    return other


@settings(deadline=None)
@given(st.integers(1, 4), OPERATIONS, OPERATIONS)
def test_a_register_goes_on_as_it_would_have(max_running, before, after):
    """Run slots, priorities, fair shares, ceilings, numbers of events, and what isn't acknowledged."""
    register = Register()
    register.max_running = max_running
    claimed = []
    carry_out(register, before, claimed)
    other = resumed(register)
    for ours, theirs in zip(register, other, strict=True):
        for field in fields(ours):
            if field.name != "job":
                assert getattr(ours, field.name) == getattr(theirs, field.name), field.name
    others_claimed = list(claimed)
    assert carry_out(register, after, claimed) == carry_out(other, after, others_claimed)
    assert (register.running, register.waiting) == (other.running, other.waiting)


def test_an_event_that_was_not_acknowledged_outlives_an_upgrade_and_a_late_acknowledgement():
    register = Register()
    entry = register.claim(waiting("job"), None)
    register.record(entry, {"name": "started"})
    register.record(entry, {"name": "kill_requested"})
    other = resumed(register)
    (entry,) = other
    assert [event["seq"] for event in entry.events] == [1, 2]
    other.record(entry, {"name": "finished"})
    other.acknowledge("job", 2)
    assert [(event["name"], event["seq"]) for event in entry.events] == [("finished", 3)]


def test_the_descriptors_of_a_snapshot_are_all_that_it_names():
    text = JOB | {"id": "job"}
    text |= {"log": {"files": [3, 4], "held": "", "pipes": [[5, 1, 0], [6, 2, 0]]}}
    text["hooks"] = {"job_id": "job", "report": 7}
    entry = EntrySnapshot(
        job=from_json(JobSnapshot, text),
        has_slot=True,
        is_waiting=False,
        priority=0,
        principal="",
        max_running=0,
        seq=0,
        is_recovered=False,
        events=[],
    )
    sockets = {"listener": 8, "file": [0, 0], "lock": 9, "directory": 10}
    snapshot = from_json(Snapshot, {"nonce": "n", "socket": sockets})
    snapshot.register = RegisterSnapshot(entries=[entry])
    assert sorted(written(snapshot).descriptors) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_what_a_job_left_is_handed_over_and_may_be_missing():
    text = JOB | {"id": "job"}
    assert from_json(JobSnapshot, text).left == []
    left = [{"pid": 4711, "command": "sleep"}]
    snapshot = from_json(JobSnapshot, text | {"left": left})
    assert from_json(JobSnapshot, to_json(snapshot)).left == left


def test_a_job_and_its_log_are_made_of_parts_that_are_written_or_of_what_all_share():
    """A new member has to be thought of: it is in the snapshot, or needs not to be."""
    parts = {"id", "machine", "log", "timers", "grace_s", "stopwatch", "processes", "stdin"}
    assert set(Job.__slots__) - parts == {
        "_runtime",
        "_request",  # while its command is being started
        "_is_log_unclosed",  # while it is finished
        "_is_kill_reported",  # with the kill
        "_signalled",  # the reply to a request is made at once
    }
    processes = {"tree", "hooks", "limits", "usage", "left"}
    assert set(JobProcesses.__slots__) - processes == {"_runtime", "_job"}
    assert set(Stdin.__slots__) - {"input", "_terminal"} == {"_loop"}
    shared = {"_runtime", "_job_id", "_on_ended", "_on_failed"}
    assert set(JobLog.__slots__) - shared == {"_began", "_log", "_pump"}

"""Events into records: one outcome for each history, however often a part of it is told again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.engine.events import apply, killed_before_start, lost
from service.errors import IllegalTransition
from service.jobs.lifecycle import FINISHED, Reason, State
from service.jobs.record import CommandOutcome, JobRecord, Kill

KILL = {"reason": "requested", "requested_at": 5, "signal": 15, "grace_s": 10.0}
RECEIPT = {**KILL, "found": 2, "escalated": True, "verified_gone": True}


def a_record(commands=1, **fields):
    return JobRecord(
        id="job", created_at=1, spec=b"{}", commands=(CommandOutcome(),) * commands, **fields
    )


def started(n, at=10):
    return {"name": "started", "command": n, "at": at + n}


def ended(n, status=0, *, ends, killed=False):
    return {
        "name": "ended",
        "command": n,
        "at": 20 + n,
        "status": status,
        "killed": killed,
        "ends_job": ends,
    }


def refused(n, *, ends):
    return {
        "name": "refused",
        "command": n,
        "at": 20 + n,
        "error": "It can't be.",
        "ends_job": ends,
    }


def finished(outcome="exited", end=7, *, complete=True):
    return {
        "name": "finished",
        "outcome": outcome,
        "output_complete": complete,
        "at": 99,
        "end_offset": end,
        "kill": RECEIPT if outcome == "killed" else None,
        "usage": None,
    }


@st.composite
def histories(draw):
    """A number of commands, and all that the supervisor tells of their job, in order."""
    count = draw(st.integers(1, 4))
    steps = draw(st.lists(st.sampled_from(["run", "refuse"]), min_size=1, max_size=count))
    killed = draw(st.sampled_from([None, "before", "during", "between"]))
    events = []
    if killed == "before":
        return count, [{"name": "kill_requested", **KILL}, finished("killed", end=0)]
    for n, step in enumerate(steps):
        is_last = n == len(steps) - 1
        if step == "refuse":
            events.append(refused(n, ends=is_last and killed is None))
            continue
        events.append(started(n))
        if is_last and killed == "during":
            events.append({"name": "kill_requested", **KILL})
        status = draw(st.sampled_from([0, 1, 255, -9, -11, -34]))
        events.append(
            ended(n, status, ends=is_last and killed != "between", killed=killed == "during")
        )
    if killed is not None:
        events += (
            []
            if killed == "during" and steps[-1] == "run"
            else [{"name": "kill_requested", **KILL}]
        )
    events.append(finished("killed" if killed else "exited"))
    return count, events


def told(record, events):
    for event in events:
        record = apply(record, event)
    return record


@given(histories())
def test_every_history_ends_in_one_complete_record(history):
    count, events = history
    record = told(a_record(count), events)
    assert record.state in FINISHED
    assert (record.state is State.KILLED) is (events[-1]["outcome"] == "killed")
    assert {outcome.state for outcome in record.commands} <= {
        State.EXITED, State.KILLED, State.SKIPPED,
    }  # fmt: skip
    ran = [o for o in record.commands if o.state is not State.SKIPPED]
    assert record.commands[: len(ran)] == tuple(ran), "what was skipped comes after what ran"
    if ran:
        last = ran[-1]
        assert (record.exit_code, record.signal, record.error) == (
            last.exit_code, last.signal, last.error,
        )  # fmt: skip
    assert (record.kill is not None) is (record.state is State.KILLED)
    assert (record.output_bytes, record.finished_at) == (events[-1]["end_offset"], 99)


@given(histories(), st.data())
def test_what_is_told_again_changes_nothing(history, data):
    count, events = history
    record = a_record(count)
    for number, event in enumerate(events):
        record = apply(record, event)
        # An owner that dies between storing and acknowledging: its successor hears a part again.
        since = data.draw(st.integers(0, number))
        for again in events[since : number + 1]:
            assert apply(record, again) is record


@given(histories(), histories())
def test_a_finished_record_takes_no_event(history, other):
    count, events = history
    record = told(a_record(count), events)
    assert told(record, other[1]) is record


def test_an_event_of_a_newer_supervisor_changes_nothing():
    record = a_record()
    assert apply(record, {"name": "unknown"}) is record


# ---------------------------------------------------------------------------------- one by one


def test_the_first_start_makes_the_job_run():
    record = apply(a_record(2), started(0))
    assert (record.state, record.started_at, record.dispatched) == (State.RUNNING, 10, 0)
    again = told(record, [ended(0, ends=False), started(1)])
    assert (again.started_at, again.commands[1].started_at) == (10, 11)


def test_a_job_whose_first_command_was_refused_starts_with_its_second():
    record = told(a_record(2), [refused(0, ends=False)])
    assert record.state is State.PENDING
    record = apply(record, started(1))
    assert (record.state, record.started_at) == (State.RUNNING, 11)


def test_a_job_of_which_nothing_could_be_started_exited_with_an_error():
    record = told(a_record(2), [refused(0, ends=True), finished()])
    assert (record.state, record.exit_code, record.error) == (State.EXITED, None, "It can't be.")
    assert (record.started_at, record.commands[1].state) == (None, State.SKIPPED)


@pytest.mark.parametrize(
    ("status", "exit_code", "signal"),
    [(0, 0, None), (255, 255, None), (-11, None, "SIGSEGV"), (-34, None, "SIGRTMIN")]
    + [(None, None, None)],
)
def test_a_wait_status_is_an_exit_code_or_a_signal(status, exit_code, signal):
    record = told(a_record(), [started(0), ended(0, status, ends=True), finished()])
    assert (record.exit_code, record.signal) == (exit_code, signal)


def test_the_receipt_replaces_the_request():
    asked = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=10.0)
    record = told(a_record(kill=asked), [started(0), {"name": "kill_requested", **KILL}])
    assert record.kill == asked
    record = told(record, [ended(0, -15, ends=True, killed=True), finished("killed")])
    assert record.kill == replace(asked, found=2, escalated=True, verified_gone=True)
    assert record.reason is Reason.REQUESTED


def test_a_timeout_that_was_first_is_the_reason():
    """Though somebody's request was recorded meanwhile."""
    asked = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=10.0)
    event = finished("killed")
    event["kill"] = {**RECEIPT, "reason": "timeout"}
    record = told(a_record(kill=asked), [started(0), ended(0, -15, ends=True, killed=True), event])
    assert (record.reason, record.kill.reason) == (Reason.TIMEOUT, Reason.TIMEOUT)


def test_bytes_that_may_be_missing_are_told():
    record = told(a_record(), [started(0), ended(0, ends=True), finished(complete=False)])
    assert not record.output_complete


def test_what_was_lost_is_killed_and_what_had_not_begun_skipped():
    running = told(a_record(3), [started(0), ended(0, 0, ends=False), started(1)])
    record = lost(running, at=50, end=3, complete=False)
    assert (record.state, record.reason) == (State.KILLED, Reason.LOST)
    assert [o.state for o in record.commands] == [State.EXITED, State.KILLED, State.SKIPPED]
    assert (record.finished_at, record.output_bytes, record.output_complete) == (50, 3, False)
    assert record.commands[1].finished_at == 50
    assert record.exit_code is None


def test_what_was_asked_for_and_never_seen_to_start_is_lost_too_and_may_have_run():
    record = lost(a_record(2, dispatched=0), at=50, end=0, complete=True)
    assert (record.state, record.reason) == (State.KILLED, Reason.LOST)
    assert [o.state for o in record.commands] == [State.KILLED, State.SKIPPED]
    assert (record.commands[0].started_at, record.commands[0].finished_at) == (None, 50)


def test_what_was_killed_before_it_began_has_a_receipt_without_processes():
    asked = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=10.0)
    record = killed_before_start(a_record(kill=asked), at=50)
    assert (record.state, record.reason) == (State.KILLED, Reason.REQUESTED)
    assert (record.kill.found, record.kill.escalated, record.kill.verified_gone) == (0, False, True)
    assert record.commands[0].state is State.SKIPPED


@pytest.mark.parametrize("end", [lost, killed_before_start])
def test_a_finished_job_is_not_ended_again(end):
    record = told(a_record(), [started(0), ended(0, ends=True), finished()])
    asked = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=10.0)
    options = {"end": 0, "complete": True} if end is lost else {}
    with pytest.raises(IllegalTransition):
        end(replace(record, kill=asked), at=60, **options)

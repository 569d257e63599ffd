"""Live jobs: the events of each history fire triggers that end in one record, however often a part
of them comes again; and nothing but a trigger changes the state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.engine.events import damaged, reduce
from service.engine.live_job import LiveJob
from service.errors import IllegalTransition
from service.jobs.record import CommandOutcome, JobRecord, Kill
from service.jobs.spec import JobSpec
from service.jobs.states import FINISHED, Reason, State
from service.kinds.bash import BashCommand
from service.kinds.stored import encode_spec

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


def apply(record, event):
    job = LiveJob(record)
    job.apply(event)
    return job.record


def lost(record, **how):
    job = LiveJob(record)
    job.lose(**how)
    return job.record


def killed_before_start(record, *, at):
    job = LiveJob(record)
    job.kill_before_start(at=at)
    return job.record


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


# ------------------------------------------------------------------------------- state and triggers


@given(histories())
def test_the_reducer_names_a_trigger_and_leaves_the_state_alone(history):
    count, events = history
    job = LiveJob(a_record(count))
    for event in events:
        before = job.record
        record, trigger = reduce(before, event)
        assert record.state is before.state
        job.apply(event)
        assert (job.state is before.state) is (trigger is None)
        assert job.state is job.record.state


@given(histories(), st.sampled_from(["start", "exit", "refuse", "kill"]))
def test_a_trigger_that_the_state_does_not_allow_changes_nothing(history, trigger):
    count, events = history
    job = LiveJob(told(a_record(count), events))
    before = job.record
    with pytest.raises(IllegalTransition):
        getattr(job, trigger)()
    assert job.record is before


def test_a_record_that_cannot_be_read_is_killed_from_whatever_state():
    record = damaged(a_record(2), "It makes no sense.", at=50)
    assert (record.state, record.reason, record.error) == (
        State.KILLED, Reason.LOST, "It makes no sense.",
    )  # fmt: skip
    assert (record.finished_at, record.output_complete) == (50, False)


# --------------------------------------------------------------------------- what is sent, and when


def spec(commands):
    return JobSpec(commands=tuple(BashCommand(command_line=f"echo {n}") for n in range(commands)))


def a_job(commands=2, **fields):
    of_commands = spec(commands)
    return LiveJob(
        replace(a_record(commands), spec=encode_spec(of_commands)), of_commands, **fields
    )


def test_a_command_is_sent_once_and_after_it_was_dispatched():
    job = a_job()
    assert job.command_to_send() is None
    job.dispatch_first()
    assert job.record.dispatched == 0
    assert job.command_to_send() == (spec(2), 0)
    assert job.command_to_send() is None


def test_the_next_command_is_dispatched_with_the_end_of_the_one_before():
    job = a_job()
    job.dispatch_first()
    job.command_to_send()
    job.apply(started(0))
    assert (job.record.dispatched, job.command_to_send()) == (0, None)
    job.apply(ended(0, ends=False))
    assert (job.record.dispatched, job.command_to_send()) == (1, (spec(2), 1))


def test_nothing_is_dispatched_after_a_command_that_ends_the_job():
    job = a_job(3)
    job.dispatch_first()
    job.command_to_send()
    for event in (started(0), ended(0, 1, ends=True)):
        job.apply(event)
    assert (job.record.dispatched, job.command_to_send()) == (0, None)


def test_a_job_whose_last_command_is_sent_keeps_no_spec():
    job = a_job(1)
    job.dispatch_first()
    assert job.command_to_send() == (spec(1), 0)
    assert job.record.spec == b""
    assert job._spec is None


def test_what_could_not_be_stored_is_read_again_and_sent_again():
    job = a_job(1)
    stored = job.record
    job.dispatch_first()
    job.command_to_send()
    job.forget()
    assert not job.is_current
    job.read_again(stored)
    assert (job.is_current, job.record) == (True, stored)
    job.dispatch_first()
    again, number = job.command_to_send()
    assert (again.commands, number) == (spec(1).commands, 0)

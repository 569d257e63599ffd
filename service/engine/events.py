"""The reducer of the supervisor's events: what one means for a job's record. Values in, values out.

It changes everything but the state: it names the trigger that changes that, and the live job fires
it (`live_job`). An event may come twice, since a worker may die between storing and acknowledging
it: what is known already changes nothing.
"""

from __future__ import annotations

from msgspec.structs import replace

from service.jobs.lifecycle import Trigger
from service.jobs.record import CommandOutcome, JobRecord, Kill, LaterKill, Left, Usage, signal_name
from service.jobs.states import FINISHED, Reason, State
from service.link.job_events import (
    Ended,
    Event,
    Finished,
    KillReceipt,
    KillRequested,
    Refused,
    Released,
    Started,
)


def reduce(record: JobRecord, event: Event) -> tuple[JobRecord, Trigger | None]:
    """The record after `event`, still in its state, and the trigger that changes the state, if any.
    The same object when the event changes nothing.
    """
    if record.state in FINISHED:
        return record, None
    match event["name"]:
        case "started":
            return _started(record, event)
        case "released":
            return _released(record, event), None
        case "refused":
            return _refused(record, event), None
        case "kill_requested":
            killed = record if record.kill is not None else replace(record, kill=_kill(event))
            return killed, None
        case "ended":
            return _ended(record, event), None
        case "finished":
            return _finished(record, event)
        case "unknown":
            return record, None


def lost(record: JobRecord, *, at: int, end: int, complete: bool) -> JobRecord:
    """The record, still in its state, of a job whose processes' parent vanished. A command that was
    dispatched may have run, whether its start was reported or not, so it isn't shown as skipped.
    """
    outcomes = tuple(
        replace(outcome, state=State.KILLED, finished_at=at)
        if outcome.state is State.RUNNING
        or (outcome.state is State.PENDING and number <= record.dispatched)
        else outcome
        for number, outcome in enumerate(record.commands)
    )
    return _end(
        replace(record, commands=outcomes), reason=Reason.LOST, at=at, end=end, complete=complete
    )


def damaged(
    record: JobRecord, error: str, *, at: int, end: int = 0, complete: bool = False
) -> JobRecord:
    """The final record of a job of which too little can be read to go on with it: `error` says
    why. Its state isn't trusted either, so no trigger leads from it: it becomes killed.
    """
    ended = lost(record, at=at, end=end, complete=complete)
    return replace(ended, state=State.KILLED, error=error)


def killed_before_start(record: JobRecord, *, at: int) -> JobRecord:
    """The record, still in its state, of a job that never ran and whose kill was requested."""
    assert record.kill is not None  # noqa: S101 - the caller has looked
    kill = replace(record.kill, found=0, escalated=False, verified_gone=True)
    return _end(replace(record, kill=kill), reason=kill.reason, at=at, end=0, complete=True)


def _started(record: JobRecord, event: Started) -> tuple[JobRecord, Trigger | None]:
    number = event["command"]
    if record.commands[number].state is not State.PENDING:
        return record, None
    outcome = CommandOutcome(state=State.RUNNING, started_at=event["at"])
    record = _with_outcome(record, number, outcome)
    if record.state is not State.PENDING:
        return record, None
    waited_s = event.get("waited_s")
    record = replace(record, started_at=event["at"], dispatched=number, waited_s=waited_s)
    return record, "start"


def _released(record: JobRecord, event: Released) -> JobRecord:
    first = record.commands[0]
    if record.is_released or first.state is not State.PENDING:
        return record
    return _with_outcome(record, 0, replace(first, released_at=event["at"]))


def _refused(record: JobRecord, event: Refused) -> JobRecord:
    if record.commands[event["command"]].state in FINISHED:
        return record
    outcome = CommandOutcome(state=State.EXITED, error=event["error"], finished_at=event["at"])
    return _with_outcome(record, event["command"], outcome)


def _ended(record: JobRecord, event: Ended) -> JobRecord:
    before = record.commands[event["command"]]
    if before.state in FINISHED:
        return record
    status = event["status"]
    outcome = CommandOutcome(
        state=State.KILLED if event["killed"] else State.EXITED,
        exit_code=status if status is not None and status >= 0 else None,
        signal=signal_name(-status) if status is not None and status < 0 else None,
        error=event.get("error"),
        oom_killed=event.get("oom_killed", False),
        started_at=before.started_at,
        finished_at=event["at"],
        lasted_s=event.get("lasted_s"),
        facts=dict(event.get("facts", {})),
    )
    return _with_outcome(record, event["command"], outcome)


def _finished(record: JobRecord, event: Finished) -> tuple[JobRecord, Trigger]:
    trigger: Trigger = "exit" if record.state is State.RUNNING else "refuse"
    reason = None
    if event["kill"] is not None:
        trigger = "kill"
        kill = receipt_of(event["kill"])
        reason = kill.reason
        record = replace(record, kill=kill)
    ended = _end(
        _with_usage(record, event),
        reason=reason,
        at=event["at"],
        end=event["end_offset"],
        complete=event["output_complete"],
    )
    return ended, trigger


def _end(
    record: JobRecord, *, reason: Reason | None, at: int, end: int, complete: bool
) -> JobRecord:
    last = next(
        (o for o in reversed(record.commands) if o.state is not State.PENDING), CommandOutcome()
    )
    outcomes = tuple(
        CommandOutcome(state=State.SKIPPED) if o.state is State.PENDING else o
        for o in record.commands
    )
    return replace(
        record,
        reason=reason,
        exit_code=last.exit_code,
        signal=last.signal,
        error=last.error,
        finished_at=at,
        commands=outcomes,
        output_bytes=end,
        output_complete=complete,
    )


def _with_usage(record: JobRecord, event: Finished) -> JobRecord:
    ran = [n for n, o in enumerate(record.commands) if o.started_at is not None]
    usage = event.get("usage")
    if usage is None or not ran:
        return record
    outcome = replace(
        record.commands[ran[-1]],
        usage=Usage(usage["cpu_s"], usage["peak_bytes"], event.get("lasted_s")),
        left=_left(event),
        input_bytes=event.get("input_offset"),
    )
    return _with_outcome(record, ran[-1], outcome)


def _left(event: Finished) -> tuple[Left, ...]:
    """What was ended with the job, and what it has kept, by their numbers."""
    ended = [Left(p["pid"], p["command"]) for p in event.get("left", ())]
    kept = [Left(p["pid"], p["command"], is_kept=True) for p in event.get("kept", ())]
    return tuple(sorted(ended + kept, key=lambda process: process.pid))


def _with_outcome(record: JobRecord, number: int, outcome: CommandOutcome) -> JobRecord:
    commands = record.commands
    return replace(record, commands=(*commands[:number], outcome, *commands[number + 1 :]))


def _kill(fields: KillRequested | KillReceipt) -> Kill:
    return Kill(
        reason=Reason(fields["reason"]),
        requested_at=fields["requested_at"],
        signal=signal_name(fields["signal"]),
        grace_s=fields["grace_s"],
    )


def receipt_of(receipt: KillReceipt) -> Kill:
    """A kill as it went."""
    return replace(
        _kill(receipt),
        later=tuple(
            LaterKill(
                requested_at=later["requested_at"],
                signal=signal_name(later["signal"]),
                grace_s=later["grace_s"],
            )
            for later in receipt.get("later", ())
        ),
        found=receipt["found"],
        escalated=receipt["escalated"],
        verified_gone=receipt["verified_gone"],
    )

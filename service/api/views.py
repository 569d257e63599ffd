"""What callers see of a job: every key always present, null when it has no value."""

from __future__ import annotations

import errno
import os
from typing import Annotated, Any

import msgspec

from service.engine.engine import Engine
from service.engine.start_message import working_directory
from service.errors import CorruptLog
from service.jobs.fields import MIN_OUTPUT_LIMIT
from service.jobs.lifecycle import JOB_STATES, LIVE, Reason, State
from service.jobs.limits import Limits, effective_limits
from service.jobs.record import CommandOutcome, JobRecord, Kill
from service.jobs.spec import CommandSpec, JobSpec
from service.jobs.times import rfc3339
from service.kinds import kind_of
from service.output.reader import LogReader, has_bytes
from service.settings import Settings
from service.store import readable


def _as(**schema: Any) -> msgspec.Meta:
    """What the description of the API says beyond the type."""
    return msgspec.Meta(extra_json_schema=schema)


JobID = Annotated[str, _as(format="uuid")]
Time = Annotated[str, _as(format="date-time")]
JobState = Annotated[str, _as(enum=[state.value for state in JOB_STATES])]
CommandState = Annotated[str, _as(enum=[state.value for state in State])]
WhyKilled = Annotated[str, _as(enum=[reason.value for reason in Reason])]
SignalName = Annotated[str, _as(pattern="^SIG[A-Z0-9+]+$")]


class OutputView(msgspec.Struct, frozen=True, rename="pascal"):
    """`complete` is false only if bytes may be missing that `gaps`, (from, to), doesn't tell of."""

    bytes: int
    complete: bool
    gaps: list[tuple[int, int]]


class KillView(msgspec.Struct, frozen=True, rename="pascal"):
    """The receipt of a kill; null from `found` on while it isn't done."""

    requested_at: Time
    signal: SignalName
    grace: float
    found: int | None
    escalated: bool | None
    verified_gone: bool | None


class UsageView(msgspec.Struct, frozen=True, rename="pascal"):
    """What the job has used; null while it runs, and where nobody can tell."""

    cpu_seconds: float | None = msgspec.field(name="CPUSeconds")
    peak_memory: int | None


class JobView(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One job."""

    id: JobID = msgspec.field(name="ID")
    name: str | None
    labels: dict[str, str]
    state: JobState
    reason: WhyKilled | None
    exit_code: int | None
    signal: SignalName | None
    error: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    working_dir: str
    environment: list[str]
    timeout: float | None
    idle_timeout: float | None
    queue_timeout: float | None
    priority: int
    grace: float
    commands: list[dict[str, Any]]
    limits: Limits
    usage: UsageView
    output: OutputView
    kill: KillView | None


class OutcomeView(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """How one command stands; its view has this beside all that its Kind has."""

    state: CommandState
    exit_code: int | None
    signal: SignalName | None
    error: str | None
    started_at: Time | None
    finished_at: Time | None
    oom_killed: bool = msgspec.field(name="OOMKilled")


class Accepted(msgspec.Struct, frozen=True):
    """A job that was submitted, or cleaned."""

    id: JobID = msgspec.field(name="ID")


class Killed(msgspec.Struct, frozen=True, rename="pascal"):
    """`State` is null when there is no such job; the ID is as it was given."""

    id: str = msgspec.field(name="ID")
    state: JobState | None


class Listing(msgspec.Struct, frozen=True, rename="pascal"):
    """One page; `Next`, when there is more, is what `after` takes."""

    ids: list[JobID] = msgspec.field(name="IDs")
    jobs: list[JobView] | msgspec.UnsetType = msgspec.UNSET
    next: str | msgspec.UnsetType = msgspec.UNSET


class Live(msgspec.Struct, frozen=True, rename="pascal"):
    status: Annotated[str, _as(enum=["live"])] = "live"


class CheckView(msgspec.Struct, frozen=True, rename="pascal"):
    """`Why` says what is wrong when it isn't `Ok`; else what is worth knowing, if anything."""

    ok: bool
    why: str | None


class KindView(msgspec.Struct, frozen=True, rename="pascal"):
    """Whether commands of a Kind would run now; `usable` is null while that isn't known."""

    usable: bool | None
    error: str | None


class Ready(msgspec.Struct, frozen=True, rename="pascal"):
    checks: dict[str, CheckView]
    kinds: dict[str, KindView]
    status: Annotated[str, _as(enum=["ready"])] = "ready"


def job_view(record: JobRecord, engine: Engine, settings: Settings) -> JobView:
    """The job as it stands. Environment variables are shown by name only."""
    record, spec = readable(record)
    where, _ = working_directory(settings.state_dir, record.id, spec.working_dir)
    commands = zip(spec.commands, record.commands, strict=True)
    return JobView(
        id=record.id,
        name=record.name,
        labels=record.labels,
        state=record.state.value,
        reason=record.reason.value if record.reason else None,
        exit_code=record.exit_code,
        signal=record.signal,
        error=record.error,
        created_at=_time(record.created_at) or "",
        started_at=_time(record.started_at),
        finished_at=_time(record.finished_at),
        working_dir=_path(where),
        environment=sorted(spec.environment),
        timeout=spec.timeout_s or None,
        idle_timeout=spec.idle_timeout_s or None,
        queue_timeout=spec.queue_timeout_s or None,
        priority=spec.priority,
        grace=spec.grace_s,
        commands=[_command(c, o, record.id, spec, settings) for c, o in commands],
        limits=effective_limits(spec.limits, settings),
        usage=UsageView(record.usage.cpu_s, record.usage.peak_bytes),
        output=_output(record, engine),
        kill=_kill(record.kill),
    )


def _command(
    command: CommandSpec, outcome: CommandOutcome, job_id: str, spec: JobSpec, settings: Settings
) -> dict[str, Any]:
    """The command as it was asked for, whatever its Kind has, and how it stands."""
    asked = msgspec.to_builtins(command)
    where, _ = working_directory(settings.state_dir, job_id, spec.working_dir, command.working_dir)
    return {
        **asked,
        "Kind": kind_of(command).name,
        "WorkingDir": _path(where),
        "Environment": sorted(command.environment),
        "State": outcome.state.value,
        "ExitCode": outcome.exit_code,
        "Signal": outcome.signal,
        "Error": outcome.error,
        "OOMKilled": outcome.oom_killed,
        "StartedAt": _time(outcome.started_at),
        "FinishedAt": _time(outcome.finished_at),
    }


def _output(record: JobRecord, engine: Engine) -> OutputView:
    is_known = record.output_bytes is not None or record.state not in LIVE
    end = record.output_bytes or 0
    if is_known and not end:
        return OutputView(0, record.output_complete, [])
    files = engine.files(record.id)
    if is_known and end <= MIN_OUTPUT_LIMIT:  # too short to have lost anything
        is_there = record.output_complete and has_bytes(files.log, end)
        return OutputView(end, is_there, [])
    try:
        with LogReader.open(files.log) as log:
            state = log.whole_state()
    except FileNotFoundError:
        # Unless something is missing its first byte hasn't come.
        return OutputView(end, record.output_complete and not end, [])
    except (CorruptLog, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return OutputView(end, complete=False, gaps=[])  # one damaged file shall not spoil a list
    gaps = [state.gap.of(None)] if state.gap.end else []
    is_whole = record.output_complete and state.end >= end
    return OutputView(end if is_known else state.end, is_whole, gaps)


def _path(path: str) -> str:
    """As text; bytes that aren't UTF-8 are written in hexadecimal, as a shell's `$'...'` takes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _kill(kill: Kill | None) -> KillView | None:
    if kill is None:
        return None
    return KillView(
        requested_at=_time(kill.requested_at) or "",
        signal=kill.signal,
        grace=kill.grace_s,
        found=kill.found,
        escalated=kill.escalated,
        verified_gone=kill.verified_gone,
    )


def _time(ns: int | None) -> str | None:
    return None if ns is None else rfc3339(ns)

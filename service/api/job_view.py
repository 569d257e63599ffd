"""The view of a job, from its record and the state of its log."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from service.errors import CorruptLog
from service.files.job import JobFiles, job_files
from service.host.process_list import ProcessNow
from service.jobs.fields import MIN_OUTPUT_LIMIT
from service.jobs.limits import effective_limits
from service.jobs.record import CommandOutcome, JobRecord, Kill, LiveUsage
from service.jobs.spec import CommandSpec, JobSpec
from service.jobs.states import LIVE, State
from service.jobs.times import rfc3339
from service.jobs.views import JobView, KillView, LeftView, OutputView, ProcessView, UsageView
from service.kinds import UnderWay, kind_of
from service.output.reader import LogReader, has_bytes
from service.settings import Settings
from service.store import readable

NOTHING_TOLD: Final[Mapping[str, Any]] = MappingProxyType({})
NOTHING_UNDER_WAY: Final[UnderWay] = MappingProxyType({})


def job_view(
    record: JobRecord,
    settings: Settings,
    now: LiveUsage | None = None,
    elsewhere: UnderWay = NOTHING_UNDER_WAY,
) -> JobView:
    """The job as it stands. Environment variables are shown by name only. `now`: what it uses, if
    it runs and that is known. `elsewhere`: what others tell of commands that run.

    Reads the index of its log. From any thread.
    """
    record, spec = readable(record)
    files = job_files(settings.state_dir, record.id)
    commands = zip(spec.commands, record.commands, strict=True)
    told = [elsewhere.get((record.id, n), NOTHING_TOLD) for n in range(len(record.commands))]
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
        duration=record.duration_s,
        working_dir=_path(files.working_directory(spec.working_dir)),
        environment=sorted(spec.environment),
        timeout=spec.timeout_s or None,
        idle_timeout=spec.idle_timeout_s or None,
        queue_timeout=spec.queue_timeout_s or None,
        priority=spec.priority if record.priority is None else record.priority,
        grace=spec.grace_s,
        stdin=spec.stdin,
        commands=[_command(c, o, files, spec, t) for (c, o), t in zip(commands, told, strict=True)],
        limits=effective_limits(spec.limits, settings),
        hold=spec.hold and record.state is State.PENDING and not record.is_released,
        files=list(spec.files),
        usage=_usage(record, now),
        output=_output(record, files, is_exact=spec.tty is None),
        kill=_kill(record.kill),
        tty=spec.tty,
        waiting_for_input=None,
        left=[LeftView(process.pid, process.command, process.is_kept) for process in record.left],
    )


def process_views(processes: Iterable[ProcessNow] | None) -> list[ProcessView] | None:
    """None: nobody knows."""
    if processes is None:
        return None
    return [
        ProcessView(
            pid=process.pid,
            parent=process.parent,
            command=process.command,
            state=process.state,
            cpu_seconds=process.cpu_s,
            memory=process.memory_bytes,
            started_at=rfc3339(process.started_at),
        )
        for process in processes
    ]


def _usage(record: JobRecord, now: LiveUsage | None) -> UsageView:
    if record.state is not State.RUNNING or now is None:
        return UsageView(record.usage.cpu_s, record.usage.peak_bytes)
    return UsageView(now.cpu_s, now.peak_bytes, now.memory_bytes, now.processes)


def _command(
    command: CommandSpec,
    outcome: CommandOutcome,
    files: JobFiles,
    spec: JobSpec,
    now: Mapping[str, Any],
) -> dict[str, Any]:
    """The command as it was asked for, whatever its Kind has, and how it stands."""
    asked, kind = msgspec.to_builtins(command), kind_of(command)
    if kind.told is not None:
        asked |= kind.facts(outcome.facts or (now if outcome.state is State.RUNNING else {}))
    where = files.working_directory(spec.working_dir, command.working_dir)
    return {
        **asked,
        "Kind": kind.name,
        "WorkingDir": _path(where),
        "Environment": sorted(command.environment),
        "State": outcome.state.value,
        "ExitCode": outcome.exit_code,
        "Signal": outcome.signal,
        "Error": outcome.error,
        "OOMKilled": outcome.oom_killed,
        "StartedAt": _time(outcome.started_at),
        "FinishedAt": _time(outcome.finished_at),
        "Duration": outcome.duration_s,
    }


def _output(record: JobRecord, files: JobFiles, *, is_exact: bool) -> OutputView:
    is_known = record.output_bytes is not None or record.state not in LIVE
    end = record.output_bytes or 0
    if is_known and not end:
        return OutputView(0, record.output_complete, [], is_exact)
    if is_known and end <= MIN_OUTPUT_LIMIT:  # too short to have lost anything
        is_there = record.output_complete and has_bytes(files.log, end)
        return OutputView(end, is_there, [], is_exact)
    try:
        with LogReader.open(files.log) as log:
            state = log.whole_state()
    except FileNotFoundError:
        # Unless something is missing its first byte hasn't come.
        return OutputView(end, record.output_complete and not end, [], is_exact)
    except (CorruptLog, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno in (errno.EMFILE, errno.ENFILE):
            raise
        # One damaged file shall not spoil a list.
        return OutputView(end, complete=False, gaps=[], exact=is_exact)
    gaps = [state.gap.of(None)] if state.gap.end else []
    is_whole = record.output_complete and state.end >= end
    return OutputView(end if is_known else state.end, is_whole, gaps, is_exact)


def _path(path: str) -> str:
    """As text; bytes that aren't UTF-8 are written in hexadecimal, as a shell's `$'...'` takes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _kill(kill: Kill | None) -> KillView | None:
    if kill is None:
        return None
    return KillView(
        requested_at=_time(kill.requested_at) or "",
        signal=kill.signal,
        signals=kill.signals,
        grace=kill.grace_s,
        found=kill.found,
        escalated=kill.escalated,
        verified_gone=kill.verified_gone,
    )


def _time(ns: int | None) -> str | None:
    return None if ns is None else rfc3339(ns)

"""From a command of a job to the message that has the supervisor start it."""

from __future__ import annotations

from typing import cast

import structlog

from service.files.job import DIRECTORY_MODE, job_files
from service.jobs.given_files import as_sent
from service.jobs.limits import effective_limits, effective_output_limit
from service.jobs.spec import JobSpec
from service.kinds import KINDS, CannotRun, Context, kind_of
from service.link.start import EndIf, InitialFile, Limits, Start
from service.settings import Settings

_log = structlog.get_logger("jobrunner.engine")


def start_message(settings: Settings, job_id: str, spec: JobSpec, number: int) -> Start:
    """The message `start` for command `number`; one that can't be made refuses the command."""
    try:
        return _start_message(settings, job_id, spec, number)
    except Exception as exc:  # noqa: BLE001 - whatever it is: the job would be pending for ever
        _log.exception("start_not_made", job=job_id, command=number)
        message = _bare(settings, job_id, spec, number, "/")
        message["refusal"] = f"The command could not be started: {type(exc).__name__}."
        return message


def _start_message(settings: Settings, job_id: str, spec: JobSpec, number: int) -> Start:
    command = spec.commands[number]
    kind = kind_of(command)
    files = job_files(settings.state_dir, job_id)
    cwd = files.working_directory(spec.working_dir, kind.host_directory(command))
    limits = effective_limits(spec.limits, settings).in_force()
    context = Context(
        job_id=job_id,
        number=number,
        settings=settings,
        files=files,
        root=files.working_directory(spec.working_dir),
        environment=spec.environment,
        limits=limits,
        has_stdin=spec.has_input,
        terminal=spec.tty,
        timeout_s=spec.timeout_s,
    )
    message = _bare(settings, job_id, spec, number, cwd)
    message["create_cwd"] = files.beneath_work(cwd) is not None
    if not kind.keeps_limits:
        message["limits"] = cast("Limits", limits)  # the same names: a test compares them
    if spec.stdin and spec.tty is None:
        message["stdin"] = True
    if (user := settings.run_as) is not None:
        message["run_as"] = {"uid": user.uid, "gid": user.gid}
        if user.groups:
            message["run_as"]["groups"] = user.groups
    if (mode := work_mode(settings)) is not None:
        message["work_dir_mode"] = mode
    if number == 0 and spec.files:
        message["files"] = cast("list[InitialFile]", as_sent(spec.files))
    try:
        keys = kind.plan(command, context).start_keys(context)
    except CannotRun as exc:
        message["refusal"] = str(exc)
    else:
        message.update(cast("Start", keys))  # some of its keys; mypy wants to see all
    return message


def work_mode(settings: Settings) -> int | None:
    """The mode of a job's working directory; None: it is the job's user's alone."""
    if any(each.runs_as_others(settings) for each in KINDS.values()):
        return DIRECTORY_MODE
    return None


def _bare(settings: Settings, job_id: str, spec: JobSpec, number: int, cwd: str) -> Start:
    """What is the same whatever the command is."""
    return {
        "type": "start",
        "job": job_id,
        "command": number,
        "argv": ("",),
        "env": {},
        "cwd": cwd,
        "create_cwd": False,
        "end_if": _end_if(spec, number),
        "drain_s": settings.drain_grace,
        "timeout_s": spec.timeout_s,
        "idle_timeout_s": spec.idle_timeout_s,
        "grace_s": spec.grace_s,
        "output_limit_bytes": effective_output_limit(spec.output_limit, settings),
        "limits": {},
    }


def _end_if(spec: JobSpec, number: int) -> EndIf:
    if number == len(spec.commands) - 1:
        return "always"
    return "never" if spec.commands[number].continue_on_failure else "nonzero"

"""From a command of a job to the message that has the supervisor start it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from service.files.job import DIRECTORY_MODE, job_files
from service.jobs.limits import effective_limits, effective_output_limit
from service.jobs.spec import JobSpec
from service.kinds import KINDS, CannotRun, Context, kind_of
from service.link.to_supervisor import EndIf, Limits, Start
from service.settings import Settings


def working_directory(state_dir: Path, job_id: str, *parts: str | None) -> tuple[str, bool]:
    """Where a command works, and whether the directory is the job's own (made when missing).

    `parts` are the job's `WorkingDir` and the command's: each relative to what is left of it, an
    absolute one starts anew, and the job's own directory comes first.
    """
    files = job_files(state_dir, job_id)
    path = os.path.join(files.work, *(part for part in parts if part is not None))
    path = os.path.normpath(path)
    return path, files.beneath_work(path) is not None


def start_message(settings: Settings, job_id: str, spec: JobSpec, number: int) -> Start:
    """The message `start` for command `number`."""
    command = spec.commands[number]
    kind = kind_of(command)
    root, _ = working_directory(settings.state_dir, job_id, spec.working_dir)
    cwd, is_own = working_directory(
        settings.state_dir, job_id, spec.working_dir, kind.host_directory(command)
    )
    limits = effective_limits(spec.limits, settings).in_force()
    context = Context(
        job_id=job_id,
        number=number,
        settings=settings,
        files=job_files(settings.state_dir, job_id),
        root=root,
        environment=spec.environment,
        limits=limits,
    )
    message: Start = {
        "type": "start",
        "job": job_id,
        "command": number,
        "argv": ("",),
        "env": {},
        "cwd": cwd,
        "create_cwd": is_own,
        "end_if": _end_if(spec, number),
        "drain_s": settings.drain_grace,
        "timeout_s": spec.timeout_s,
        "idle_timeout_s": spec.idle_timeout_s,
        "grace_s": spec.grace_s,
        "output_limit_bytes": effective_output_limit(spec.output_limit, settings),
        "limits": cast("Limits", limits),  # the same names: a test compares them
    }
    if (user := settings.run_as) is not None:
        message["run_as"] = {"uid": user.uid, "gid": user.gid}
    if any(each.runs_as_others(settings) for each in KINDS.values()):
        message["work_dir_mode"] = DIRECTORY_MODE
    try:
        keys = kind.plan(command, context).start_keys(context)
    except CannotRun as exc:
        message["refusal"] = str(exc)
    else:
        message.update(cast("Start", keys))  # some of its keys; mypy wants to see all
    return message


def _end_if(spec: JobSpec, number: int) -> EndIf:
    if number == len(spec.commands) - 1:
        return "always"
    return "never" if spec.commands[number].continue_on_failure else "nonzero"

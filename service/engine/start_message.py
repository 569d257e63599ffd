"""From a command of a job to the message that has the supervisor start it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from service.files.job import DIRECTORY_MODE, job_files
from service.jobs.limits import effective_limits, effective_output_limit
from service.jobs.spec import JobSpec
from service.kinds import KINDS, CannotRun, Context, Plan, kind_of
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


def start_message(settings: Settings, job_id: str, spec: JobSpec, number: int) -> dict[str, Any]:
    """The message `start` for command `number`."""
    command = spec.commands[number]
    kind = kind_of(command)
    root, _ = working_directory(settings.state_dir, job_id, spec.working_dir)
    cwd, is_own = working_directory(
        settings.state_dir, job_id, spec.working_dir, kind.host_directory(command)
    )
    limits = effective_limits(spec.limits, settings).in_force()
    is_last = number == len(spec.commands) - 1
    message = {
        "t": "start",
        "job": job_id,
        "n": number,
        "cwd": cwd,
        "create": is_own,
        "end_if": "always" if is_last else "never" if command.continue_on_failure else "nonzero",
        "drain_s": settings.drain_grace,
        "timeout_s": spec.timeout_s,
        "idle_s": spec.idle_timeout_s,
        "grace_s": spec.grace_s,
        "output_limit": effective_output_limit(spec.output_limit, settings),
        "limits": limits,
    }
    if (user := settings.run_as) is not None:
        message["owner"] = (user.uid, user.gid)
    if any(each.runs_as_others(settings) for each in KINDS.values()):
        message["work_mode"] = DIRECTORY_MODE
    context = Context(
        job_id=job_id,
        number=number,
        settings=settings,
        files=job_files(settings.state_dir, job_id),
        root=root,
        environment=spec.environment,
        limits=limits,
    )
    try:
        planned = kind.plan(command, context)
    except CannotRun as exc:
        return {**message, "argv": ("",), "env": {}, "refuse": str(exc)}
    message |= {"argv": planned.argv, "cleanup": planned.cleanup}
    message |= _environments(planned, settings, context.marker)
    if planned.is_of_service:
        message["of_service"] = True
    elif user is not None:
        message["user"] = (user.uid, user.gid)
        if not settings.allow_new_privileges and not planned.keeps_privileges_down:
            message["no_new_privs"] = True
    if planned.options:
        message["options"] = planned.options
    if planned.input:
        message["input"] = planned.input
    if planned.verdict:
        message |= {"verdict": planned.verdict, "verdict_if": planned.verdict_if}
    if planned.tidy:
        message["tidy"] = planned.tidy
    return message


def _environments(planned: Plan, settings: Settings, marker: dict[str, str]) -> dict[str, Any]:
    """The only place where a program of the service gets its environment, of which nothing is a
    job's; `service_env` is that of the verdict and the clean-up.
    """
    if planned.environment is not None:
        environments: dict[str, Any] = {"env": planned.environment}
    elif planned.is_of_service:
        environments = {"env": {**settings.service_environment, **marker}}
    else:
        environments = {"env": {**settings.job_environment, **marker}}
    if planned.verdict or planned.cleanup:
        environments["service_env"] = {**settings.service_environment, **marker}
    return environments

"""What a message `start` asks for: a command, where it runs, as whom, and what it gets."""

from __future__ import annotations

import os
import traceback
from contextlib import ExitStack
from typing import Final

from service.errors import NoHoles
from service.files.job import job_files
from service.host.event_log import log_event
from service.link.start import Start
from service.supervisor.job.command import Command
from service.supervisor.job.handed import handed
from service.supervisor.job.input import JobInput
from service.supervisor.job.limits import LimitEnforcer
from service.supervisor.job.log import JobLog
from service.supervisor.job.runtime import Runtime
from service.supervisor.job.workspace import (
    enter_directory,
    job_user,
    make_directories,
    make_log_directory,
)
from service.supervisor.process.refusal import Refused
from service.supervisor.process.spawn import Spawned, spawn
from service.supervisor.process.terminal import Terminal
from service.supervisor.process.tree import Tree

# How many commands are on the list of children that is read at the end of each job; an entry costs
# a microsecond, and a spawn by another thread a hundred.
_LISTED: Final = 30


def command_of(request: Start) -> Command:
    """The part that the state machine decides by."""
    return Command(
        request["command"],
        end_if=request["end_if"],
        drain_s=request["drain_s"],
        probe_if=request.get("probe_if", ()) if request.get("status_probe") else (),
        needs_cleanup=bool(request.get("force_cleanup")),
        passes_on=request.get("passes_on", ()),
        is_wrapped=request.get("is_wrapped", False),
    )


def why_not_started(job_id: str, error: Exception) -> str:
    """What the record of a command says that couldn't be started."""
    if isinstance(error, (Refused, OSError)):
        return str(error)
    log_event("start_failed", level="error", job=job_id, trace=traceback.format_exception(error))
    return f"The command could not be started: {type(error).__name__} in the supervisor."


def prepare(request: Start, runtime: Runtime, log: JobLog, tree: Tree | None) -> Tree:
    """Make the job's directories with its first command, and open its log; returns its process
    tree. Raises: Refused.
    """
    job_id = request["job"]
    try:
        if not log.is_open:
            make_directories(job_files(runtime.state_dir, job_id), request)
        log.open(limit=request["output_limit_bytes"])
        return tree if tree is not None else runtime.make_tree(job_id)
    except NoHoles as exc:
        raise Refused(f"The output can't be kept within its limit: {exc}.") from exc
    except OSError as exc:
        why = f"The job's directory could not be prepared: {os.strerror(exc.errno or 0)}."
        raise Refused(why) from exc


def spawn_command(
    request: Start,
    runtime: Runtime,
    tree: Tree,
    limits: LimitEnforcer,
    job_input: JobInput | None = None,
    terminal: Terminal | None = None,
) -> Spawned:
    """Spawn it, within the job's limits. Raises: Refused, OSError."""
    if why := request.get("refusal"):
        raise Refused(why)
    job_id = request["job"]
    files = job_files(runtime.state_dir, job_id)
    if request.get("status_probe"):  # the programs of its Kind exchange files there
        make_log_directory(files)
    limits.prepare(job_id, request["limits"], runtime.controllers)
    with ExitStack() as stack:
        user = None if request.get("as_service_user") else job_user(request)
        stdin = job_input.reader if job_input is not None and request.get("stdin") else None
        given = handed(request, files, user, stack, stdin)
        return spawn(
            given.argv,
            request["env"],
            enter_directory(request, files, stack),
            descriptors=runtime.descriptors,
            placement=limits.placement(tree),
            stdin=given.stdin,
            preexec=limits.preexec(stack),
            identity=user,
            no_new_privs=request.get("no_new_privs", False),
            passed=given.passed,
            aside=len(runtime.commands) >= _LISTED,
            one_pipe=request.get("one_pipe", False),
            terminal=terminal,
            controls=terminal is not None and request["terminal"]["controls"],
        )

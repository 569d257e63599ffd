"""A job as it is handed to the next image of this process, and as it goes on there."""

from __future__ import annotations

from service.host.event_log import log_event
from service.supervisor.job.runner import Job
from service.supervisor.job.runtime import Runtime
from service.supervisor.snapshot import JobSnapshot


def snapshot_of(job: Job) -> JobSnapshot:
    """Changes nothing."""
    processes = job.processes
    given, terminal = job.stdin.snapshot()
    return JobSnapshot(
        id=job.id,
        machine=job.machine,
        grace_s=job.grace_s,
        timers=job.timers.snapshot(),
        pids=processes.to_reap,
        tree=processes.tree.snapshot() if processes.tree is not None else None,
        log=job.log.snapshot(),
        input=given,
        hooks=processes.hooks,
        limits=processes.limits.snapshot(),
        usage=processes.usage,
        left=[dict(process) for process in processes.left.ended],
        background=processes.left.background,
        stopwatch=job.stopwatch,
        terminal=terminal,
    )


def resume_job(snapshot: JobSnapshot, runtime: Runtime) -> Job:
    """The job of this snapshot, going on."""
    job = Job(snapshot.id, runtime, snapshot.machine)
    job.grace_s = snapshot.grace_s
    job.stdin.resume(snapshot.input, snapshot.terminal)
    if job.is_finished:
        job.stdin.close()
        return job
    job.stopwatch = snapshot.stopwatch
    job.processes.resume(snapshot)
    if snapshot.log is not None:
        try:
            job.log.resume(snapshot.log)
        except OSError as exc:
            log_event("log_not_inherited", level="error", job=job.id, error=str(exc))
            runtime.loop.call_soon(job.give_up)
    job.timers.resume(snapshot.timers)
    if job.machine.needs_tree_checks:
        runtime.tree_checks.add(job)
    return job

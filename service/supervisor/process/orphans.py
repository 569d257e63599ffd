"""Orphans: processes of jobs whose supervisor is dead, killed before a new one takes claims.

Run while the lock is held, so no job of this state directory can be live. What jobs that were over
have kept is left alone, and all that descends from it. A process belongs to a job
when its environment names this state directory and a job that has a directory here, when it has the
brand of a job of this state directory, when it descends from such a process, or when it shares a
session with one; and, where cgroups are used, when it is in a job's cgroup. A copy of the directory
is another one, with other processes. Where no state directory is named, the process's working
directory has to be the job's.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from service.host.procfs import (
    Process,
    all_pids,
    look_at,
    realtime_limit_of,
    signal_process,
    variables_of,
)
from service.supervisor.process.brand import brand_of, is_brand
from service.supervisor.process.marks import JOB_VARIABLE, STATE_VARIABLE

# Seconds for a killed process to go: KILL acts in milliseconds.
_GONE_S = 10.0

# Job → processes of it that are known, by pid and start time.
Known: TypeAlias = Mapping[str, Collection[tuple[int, int]]]
_NONE: Final[Known] = {}


def reap_orphans(jobs_directory: Path, mark: str, kept: Known = _NONE) -> int:
    """Kill every process that a job of this directory left, but for the `kept` ones, until none is
    found; their number. `mark` identifies the state directory.
    """
    killed: set[tuple[int, int]] = set()
    while survivors := _survivors(jobs_directory, mark, kept):
        fresh = [p for p in survivors if (p.pid, p.started) not in killed]
        if not fresh:
            return len(killed)  # what is still there is stuck in the kernel
        killed |= {(p.pid, p.started) for p in fresh}
        for process in fresh:
            _kill(process)
    return len(killed)


def processes_of(jobs: Known, mark: str) -> list[Process]:
    """Every living process of these jobs, as far as it is known, marked or branded, or comes from
    such a one.
    """
    processes = _all()
    return _living(_family(_seeds_of(jobs, mark, processes), processes, _own_line(processes)))


def _all() -> dict[int, Process]:
    return {p.pid: p for pid in all_pids() if (p := look_at(pid)) is not None}


def _survivors(jobs_directory: Path, mark: str, kept: Known) -> list[Process]:
    processes = _all()
    excluded = _own_line(processes)
    if kept:
        excluded |= {p.pid for p in _family(_seeds_of(kept, mark, processes), processes, excluded)}
    names = set(os.listdir(jobs_directory)) if jobs_directory.is_dir() else set()
    ours = {
        pid
        for pid in processes.keys() - excluded
        if not processes[pid].is_dead
        and ((names and _is_marked(pid, names, mark, jobs_directory)) or _is_branded(pid, mark))
    }
    return _living(_family(ours, processes, excluded))


def _living(found: list[Process]) -> list[Process]:
    return [process for process in found if not process.is_dead]


def _seeds_of(jobs: Known, mark: str, processes: Mapping[int, Process]) -> set[int]:
    """Those that show by themselves that they are of one of these jobs."""
    known = {process for of_job in jobs.values() for process in of_job}
    brands = {brand_of(mark, job_id) for job_id in jobs}
    return {
        p.pid
        for p in processes.values()
        if not p.is_dead
        and ((p.pid, p.started) in known or _is_of(p.pid, jobs.keys(), brands, mark))
    }


def _is_of(pid: int, job_ids: Collection[str], brands: Collection[int], mark: str) -> bool:
    number = realtime_limit_of(pid)
    if number is not None and is_brand(number, mark):
        return number in brands
    variables = variables_of(pid)
    if variables.get(STATE_VARIABLE.encode()) != mark.encode():
        return False
    return os.fsdecode(variables.get(JOB_VARIABLE.encode(), b"")) in job_ids


def _family(
    seeds: set[int], processes: Mapping[int, Process], excluded: Collection[int]
) -> list[Process]:
    """These, and all that descends from them or shares a session with them."""
    ours = seeds - set(excluded)
    grown = True
    while grown:
        sessions = _sessions_of(ours, processes)
        more = {
            p.pid
            for p in processes.values()
            if p.pid not in excluded and (p.parent in ours or p.session in sessions)
        }
        grown = not more <= ours
        ours |= more
    return [processes[pid] for pid in ours]


def _sessions_of(ours: set[int], processes: Mapping[int, Process]) -> set[int]:
    """The sessions that these lead, or whose leader is gone. A child of the dead supervisor that
    hasn't begun a session yet has the supervisor's, which may be that of half the host: 0 is the
    session of the first process and of all that it starts.
    """
    sessions = {processes[pid].session for pid in ours}
    return {n for n in sessions if n > 0 and (n in ours or n not in processes)}


def _is_marked(pid: int, job_ids: set[str], mark: str, jobs_directory: Path) -> bool:
    variables = variables_of(pid)
    job_id = os.fsdecode(variables.get(JOB_VARIABLE.encode(), b""))
    if job_id not in job_ids:
        return False
    if (state := variables.get(STATE_VARIABLE.encode())) is not None:
        return state == mark.encode()
    # Started by an older release, which named no state directory.
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd").startswith(f"{jobs_directory.resolve()}/{job_id}/")
    return False


def _is_branded(pid: int, mark: str) -> bool:
    number = realtime_limit_of(pid)
    return number is not None and is_brand(number, mark)


def _own_line(processes: dict[int, Process]) -> set[int]:
    """This process and its ancestors: a service may itself have been started from a job."""
    line: set[int] = set()
    pid = os.getpid()
    while pid in processes and pid not in line:
        line.add(pid)
        pid = processes[pid].parent
    return line


def _kill(process: Process) -> None:
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if signal_process(process, signal.SIGKILL):
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll(_GONE_S * 1000)
    finally:
        os.close(descriptor)

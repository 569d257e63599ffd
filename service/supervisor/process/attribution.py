"""Attribution: which job an orphan comes from.

Theory of operation
The supervisor is a subreaper: whatever a process of a job forks is a descendant of the supervisor
for as long as it lives, and when its parent dies before it, it becomes the supervisor's own child.
So the children that the supervisor didn't start itself, the *strangers*, and what descends from
them, are all that a job can have left. Orphans go to the main thread; to read its list of children
takes microseconds.

Evidence, in this order; the first that is found counts
1. The session, which is that of a process seen earlier as one of the job.
2. The brand (`brand.py`), which an empty environment doesn't take away.
3. The job's ID in the environment that the process was executed with.
4. The job's cgroup.
5. The same of a descendant.
6. The time: the job is the only one that had a process when this one was started.

When none of it tells, or the process can't be seen (`hidepid` of proc(5)), nobody can say whose it
is. Then no job that it may come from is verified to be gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from service.host.procfs import (
    Process,
    cgroup_of,
    children_of,
    descendants_of,
    look_at,
    realtime_limit_of,
    variables_of,
)
from service.supervisor.process.brand import OF_NO_JOB, brand_of, is_brand
from service.supervisor.process.marks import JOB_VARIABLE, STATE_VARIABLE

# Of a process that belongs to no live job.
_NONE_LIVE: Final = ""
# Bytes that a list of 100 000 children takes.
_LIST_BYTES: Final = 1 << 20


class Attribution:
    """The live jobs of one supervisor, and the strangers among its children. `sessions`: session →
    job ID; a number that is reused changes its job. `kept`: pid → job ID, of children that aren't
    reaped and are known to be of a job that is over; so they cost the others nothing.
    """

    def __init__(self, own: Collection[int], mark: str) -> None:
        """`own`: the pids of the children that were started and aren't reaped, kept up to date by
        the caller, but for those with the brand of no job. `mark` identifies the state directory.
        """
        self.sessions: dict[int, str] = {}
        self.kept: dict[int, str] = {}
        self._own = own
        self._mark = mark
        self._since: dict[str, int] = {}
        self._brands: dict[int, str] = {}
        self._known: dict[tuple[int, int], str] = {}  # evidence that was found, of live strangers
        self._keeps_list = False
        self._listed: set[int] | None = None
        self._children = _open_list()

    def brand_of(self, job_id: str) -> int:
        """The brand of a job."""
        return brand_of(self._mark, job_id)

    def begin(self, job_id: str, since: int) -> None:
        """The job has had processes since this moment, in clock ticks (`now`)."""
        self._since[job_id] = since
        self._brands[self.brand_of(job_id)] = job_id

    def end(self, job_id: str) -> None:
        """The job is over."""
        self._since.pop(job_id, None)
        self._brands.pop(self.brand_of(job_id), None)

    def adopted(self) -> set[int]:
        """The children that this process got when their parents died: all strangers, but for those
        that a command made its own siblings (CLONE_PARENT of clone(2)).
        """
        if self._children < 0:
            return self.strangers()
        listed = map(int, os.pread(self._children, _LIST_BYTES, 0).split())
        return {pid for pid in listed if pid not in self._own and pid not in self.kept}

    def strangers(self) -> set[int]:
        """The children that this process didn't start, on the lists of all of its threads; without
        those of jobs that are over.
        """
        if self._listed is not None:
            return self._listed
        found = children_of(os.getpid())
        strangers = {pid for pid in found if pid not in self._own and pid not in self.kept}
        if self._keeps_list:
            self._listed = strangers
        return strangers

    @contextmanager
    def one_list(self) -> Iterator[None]:
        """While this is entered the strangers are listed once, when they are first asked for: to
        list the children for each of a thousand jobs that are signalled, or end, together takes
        minutes. A look that decides whether a job is over needs a list that is newer than the death
        of its last known process.
        """
        outer, self._keeps_list = self._keeps_list, True
        try:
            yield
        finally:
            self._keeps_list = outer
            if not outer:
                self._listed = None

    def is_of(self, pid: int, job_id: str) -> bool | None:
        """Whether this stranger comes from that live job; None: nobody can tell."""
        process = look_at(pid)
        if process is None:
            return None  # only this process reaps it, so it is there and hidden
        if process.is_dead:
            return False
        job = self._job_of(process)
        if job is not None:
            return job == job_id
        candidates = {id_ for id_, since in self._since.items() if since <= process.started}
        if job_id not in candidates:
            return False
        return True if len(candidates) == 1 else None

    def close(self) -> None:
        if self._children >= 0:
            os.close(self._children)

    def _job_of(self, stranger: Process) -> str | None:
        key = (stranger.pid, stranger.started)
        if (job := self._known.get(key)) is not None:
            return job
        for process in descendants_of([stranger.pid]):
            if (job := self._evidence_of(process)) is not None:
                present = self.strangers()
                self._known = {k: j for k, j in self._known.items() if k[0] in present}
                self._known[key] = job
                return job
        return None

    def _evidence_of(self, process: Process) -> str | None:
        if (job := self.sessions.get(process.session)) is not None:
            return job
        number = realtime_limit_of(process.pid)
        if number == OF_NO_JOB or (number is not None and is_brand(number, self._mark)):
            return self._brands.get(number, _NONE_LIVE)
        variables = variables_of(process.pid)
        named = variables.get(JOB_VARIABLE.encode())
        # An older release named no state directory.
        if named and variables.get(STATE_VARIABLE.encode()) in (self._mark.encode(), None):
            return os.fsdecode(named)
        _, _, below = cgroup_of(process.pid).partition(f"/jobrunner-{self._mark}/")
        return below.partition("/")[0] or None


def now() -> int:
    """In the clock ticks in which the start of a process is told."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def _open_list() -> int:
    """The list of the main thread's children. -1 where the kernel has no such
    file. Source: proc(5), /proc/pid/task/tid/children.
    """
    try:
        path = f"/proc/self/task/{os.getpid()}/children"
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1

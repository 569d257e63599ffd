"""Which processes of a job outlive it: those that came of its commands with `keep`.

Evidence, in this order; the first that is found counts
1. The number of the command in the environment that the process was executed with.
2. That it, or the nearest ancestor of which anything is known, was there before a command of the
   other sort was started. The kernel's clock of processes is too coarse for that: two commands may
   begin within one of its ticks.
3. The same number of the nearest ancestor that has it, among the job's living processes.
4. The time: the command that ran when the process was started, or the eldest such ancestor.

With commands of one sort only, none of it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from service.host.procfs import Process, variables_of
from service.supervisor.process.marks import COMMAND_VARIABLE, JOB_VARIABLE


@dataclass(slots=True)
class Background:
    """`commands`: of each that was started its number, when, in clock ticks, and whether what it
    leaves is kept. In the order in which they were started. `staying`, `passing`: what was seen
    before a command of the other sort was started and is kept, or not; by pid and start time.
    """

    commands: list[tuple[int, int, bool]] = field(default_factory=list)
    staying: set[tuple[int, int]] | None = None
    passing: set[tuple[int, int]] | None = None

    def starting(
        self,
        job_id: str,
        number: int,
        at: int,
        *,
        is_kept: bool,
        members: Callable[[], Collection[Process]],
    ) -> None:
        """A command is about to be started; `members` looks at the job's processes."""
        if self.commands and self.commands[-1][2] != is_kept:
            self._decide(members(), job_id)
        self.commands.append((number, at, is_kept))

    @property
    def keeps(self) -> bool:
        """Whether anything may outlive the job."""
        return any(is_kept for _, _, is_kept in self.commands)

    def ending(self, job_id: str, members: Collection[Process]) -> list[Process]:
        """Those of the job's processes that end with it."""
        if all(is_kept for _, _, is_kept in self.commands):
            return []
        by_pid = {process.pid: process for process in members}
        known: dict[int, bool] = {}
        return [p for p in members if not self._is_kept(p, job_id, by_pid, known)]

    def _decide(self, members: Collection[Process], job_id: str) -> None:
        passing = {(p.pid, p.started) for p in self.ending(job_id, members)}
        present = {(p.pid, p.started) for p in members}
        self.passing, self.staying = passing, present - passing

    def _is_kept(
        self,
        process: Process,
        job_id: str,
        by_pid: Mapping[int, Process],
        known: dict[int, bool],
    ) -> bool:
        """`known`: what was found of others, and is noted of this one."""
        line = []
        found: bool | None = None
        while found is None:
            line.append(process.pid)
            found = known.get(process.pid)
            if found is None:
                found = self._as_marked(process.pid, job_id)
            if found is None:
                found = self._as_seen(process)
            parent = by_pid.get(process.parent)
            if found is None and (parent is None or parent.pid in line):
                found = self._as_started(process.started)
            elif parent is not None:
                process = parent
        known.update(dict.fromkeys(line, found))
        return found

    def _as_marked(self, pid: int, job_id: str) -> bool | None:
        variables = variables_of(pid)
        if os.fsdecode(variables.get(JOB_VARIABLE.encode(), b"")) != job_id:
            return None
        number = variables.get(COMMAND_VARIABLE.encode())
        for known, _, is_kept in self.commands:
            if number == b"%d" % known:
                return is_kept
        return None

    def _as_seen(self, process: Process) -> bool | None:
        key = (process.pid, process.started)
        if self.staying is None or self.passing is None:
            return None
        return True if key in self.staying else False if key in self.passing else None

    def _as_started(self, at: int) -> bool:
        before = [is_kept for _, since, is_kept in self.commands if since <= at]
        return before[-1] if before else False

"""The process tree of one job: which processes are members, signal all, see whether any is alive.

Two implementations. `CgroupTree`: the kernel keeps the members, no process can leave by `setsid`,
double fork or a new environment, and `cgroup.kill` kills all at once. `WalkTree`, where no cgroup
v2 is writable: members are found by parent links, by session, and by the job's marker in the
environment they were executed with. A process that drops all three at once can't be attributed, and
isn't counted.

The supervisor is a subreaper: an orphan of a job becomes its child, so the walk needs to look only
at the job's known processes and at the unknown ones among its own children.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from service.host.procfs import (
    Process,
    children_of,
    has_variable,
    look_at,
    signal_process,
)
from service.supervisor.process.cgroup import Cgroup
from service.supervisor.process.marks import JOB_VARIABLE


@dataclass(slots=True, kw_only=True)
class TreeSnapshot:
    """A tree as it is handed to the next image of this process. `seen` and `known` are processes by
    pid and start time. The kernel keeps `known`, `commands` and `sessions` of a cgroup.
    """

    found: int = 0
    seen: set[tuple[int, int]] = field(default_factory=set)
    is_killed: bool = False
    known: dict[int, int] = field(default_factory=dict)
    commands: set[int] = field(default_factory=set)
    sessions: set[int] = field(default_factory=set)


class Tree(Protocol):
    """The processes of a job. `found`: how many were seen since the first signal."""

    found: int

    def spawning(self) -> AbstractContextManager[None]:
        """Entered around a fork, so that the child is a member from its first instruction."""

    def spawned(self, pid: int) -> None:
        """This child is a command of the job."""

    def reaped(self, pid: int) -> None:
        """The command's process was reaped; its pid may be reused now."""

    def signal(self, number: int) -> None:
        """Signal every member; KILL is repeated until no new one turns up."""

    def is_alive(self) -> bool:
        """Whether a member lives now; zombies are dead."""

    def pids(self) -> list[int]:
        """Every member that lives now. Zombies may be among them."""

    def cpu_s(self) -> float | None:
        """Processor time of all members, dead ones included; None where it isn't counted."""

    def memory_bytes(self) -> int | None:
        """Memory of all members together; None where it isn't counted."""

    def close(self) -> None:
        """The job is over; nothing is signalled any more."""

    def snapshot(self) -> TreeSnapshot:
        """What is known of the members. Changes nothing."""

    def resume(self, snapshot: TreeSnapshot) -> None:
        """Go on with what an earlier image of this process knew."""


class CgroupTree:
    """Members are what the kernel says."""

    __slots__ = ("_cgroup", "_is_killed", "_seen", "found")

    def __init__(self, cgroup: Cgroup) -> None:
        self._cgroup = cgroup
        self._is_killed = False
        self._seen: set[tuple[int, int]] = set()
        self.found = 0

    def spawning(self) -> AbstractContextManager[None]:
        return self._cgroup

    def spawned(self, pid: int) -> None:
        pass  # the kernel knows

    def reaped(self, pid: int) -> None:
        pass  # the kernel knows

    def signal(self, number: int) -> None:
        if number == signal.SIGKILL and (self._is_killed or not self._seen):
            # Counted and not identified: one write kills all, and nothing is looked at again.
            if not self._is_killed:
                self.found = sum(1 for _ in self._cgroup.pids())
            self._cgroup.kill()
            self._is_killed = True
            return
        members = [p for pid in self._cgroup.pids() if (p := look_at(pid)) and not p.is_dead]
        self._seen.update((p.pid, p.started) for p in members)
        self.found = len(self._seen)
        if number == signal.SIGKILL:
            self._cgroup.kill()
            self._is_killed = True
            return
        for process in members:
            signal_process(process, number)

    def is_alive(self) -> bool:
        return self._cgroup.is_populated()

    def pids(self) -> list[int]:
        return list(self._cgroup.pids())

    def cpu_s(self) -> float | None:
        return self._cgroup.cpu_s()

    def memory_bytes(self) -> int | None:
        return self._cgroup.memory_bytes()

    def close(self) -> None:
        self._seen.clear()
        self._cgroup.remove()

    def snapshot(self) -> TreeSnapshot:
        return TreeSnapshot(found=self.found, seen=self._seen, is_killed=self._is_killed)

    def resume(self, snapshot: TreeSnapshot) -> None:
        self.found, self._seen = snapshot.found, snapshot.seen
        self._is_killed = snapshot.is_killed


class WalkTree:
    """Members are found by looking; see the module's docstring for what the look can miss."""

    __slots__ = ("_commands", "_id", "_known", "_marker", "_others", "_seen", "_sessions", "found")

    def __init__(
        self, job_id: str, others: Callable[[], set[int]], sessions: dict[int, str]
    ) -> None:
        """`others` returns the pids of all commands that weren't reaped, of every job. `sessions`:
        session → job ID, shared by all jobs: a number that is reused changes its job.
        """
        self._id = job_id
        self._marker = f"{JOB_VARIABLE}={job_id}".encode()
        self._others = others
        self._commands: set[int] = set()
        self._sessions = sessions
        self._known: dict[int, int] = {}  # pid → start time, of members seen before
        self._seen: set[tuple[int, int]] = set()
        self.found = 0

    def spawning(self) -> AbstractContextManager[None]:
        return nullcontext()

    def spawned(self, pid: int) -> None:
        self._commands.add(pid)
        self._sessions[pid] = self._id

    def reaped(self, pid: int) -> None:
        # The session lives on as long as a member does, and its number isn't reused before.
        self._commands.discard(pid)

    def signal(self, number: int) -> None:
        """A process that forks between the look and the signal is found by the next look: its
        parent's death brings one.
        """
        signalled: set[tuple[int, int]] = set()
        while True:
            fresh = [p for p in self._members() if (p.pid, p.started) not in signalled]
            for process in fresh:
                signalled.add((process.pid, process.started))
                signal_process(process, number)
            self._seen |= signalled
            self.found = len(self._seen)
            if not fresh or number != signal.SIGKILL:
                return

    def is_alive(self) -> bool:
        return bool(self._members())

    def pids(self) -> list[int]:
        return [process.pid for process in self._members()]

    def cpu_s(self) -> float | None:
        return None

    def memory_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self._known.clear()
        self._seen.clear()
        for session in [s for s, job_id in self._sessions.items() if job_id == self._id]:
            del self._sessions[session]

    def snapshot(self) -> TreeSnapshot:
        return TreeSnapshot(
            found=self.found,
            seen=self._seen,
            known=self._known,
            commands=self._commands,
            sessions={s for s, job_id in self._sessions.items() if job_id == self._id},
        )

    def resume(self, snapshot: TreeSnapshot) -> None:
        self.found, self._seen = snapshot.found, snapshot.seen
        self._known, self._commands = snapshot.known, snapshot.commands
        self._sessions.update(dict.fromkeys(snapshot.sessions, self._id))

    def _members(self) -> list[Process]:
        """All living members.

        While this looks, a dying member's children may move to the supervisor, behind the look; a
        second pass sees them there, so it looks until the strangers stay the same.
        """
        before: set[int] | None = None
        while True:
            members = {p.pid: p for p in self._descend(self._roots())}
            strangers = set(children_of(os.getpid())) - self._others()
            for pid in strangers - members.keys():
                process = look_at(pid)
                if process is not None and self._is_ours(process):
                    members.update({p.pid: p for p in self._descend([pid])})
            if strangers == before:
                break
            before = strangers
        self._known = {pid: p.started for pid, p in members.items()}
        self._sessions.update({p.pid: self._id for p in members.values() if p.session == p.pid})
        return [p for p in members.values() if not p.is_dead]

    def _roots(self) -> list[int]:
        known = [
            pid
            for pid, started in self._known.items()
            if (p := look_at(pid)) is not None and p.started == started
        ]
        return [*self._commands, *known]

    def _descend(self, roots: list[int]) -> Iterator[Process]:
        todo = list(roots)
        done: set[int] = set()
        while todo:
            pid = todo.pop()
            if pid in done:
                continue
            done.add(pid)
            process = look_at(pid)
            if process is not None:
                yield process
                todo += children_of(pid)

    def _is_ours(self, process: Process) -> bool:
        return (
            self._sessions.get(process.session) == self._id
            or self._known.get(process.pid) == process.started
            or has_variable(process.pid, self._marker)
        )

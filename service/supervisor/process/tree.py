"""The process tree of one job: which processes are members, signal all, see whether any is alive.

Members are found by all evidence together. Where a cgroup of version 2 is writable the kernel keeps
a job's processes in one, whatever they do, and kills them at once; but a process may be moved out,
by a program such as `systemd-run` or `su`, or by itself. So what descends from members, and what
the supervisor adopted (`attribution.py`), are members too, with and without a cgroup. The
look at them begins with one small read, and ends there when the supervisor adopted nothing.

Where nobody can say whose an orphan is, `is_unsure` says so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from service.host.procfs import (
    Process,
    children_of,
    descendants_of,
    group_of,
    look_at,
    send_signal,
    signal_process,
)
from service.supervisor.process.attribution import Attribution, now
from service.supervisor.process.brand import branded
from service.supervisor.process.cgroup import Cgroup
from service.supervisor.process.within import Within

# One for all: of most jobs nothing is ever seen, and an empty set takes 200 bytes.
_NOTHING_SEEN: Final[frozenset[tuple[int, int]]] = frozenset()
# Those of these members that are meant.
Choice: TypeAlias = Callable[[Collection[Process]], Collection[Process]]


@dataclass(slots=True, kw_only=True)
class TreeSnapshot:
    """A tree as it is handed to the next image of this process. `seen` and `known` are processes by
    pid and start time. `counted`: those that were counted and not identified. `since`: when the job
    got its first process, in clock ticks; 0: before anything that lives.
    """

    found: int = 0
    seen: set[tuple[int, int]] = field(default_factory=set)
    is_killed: bool = False
    known: dict[int, int] = field(default_factory=dict)
    commands: set[int] = field(default_factory=set)
    sessions: set[int] = field(default_factory=set)
    counted: int = 0
    since: int = 0


class Tree:
    """The processes of a job. `is_unsure`: when they were last looked for, there was an orphan that
    may be one of them, or not.
    """

    __slots__ = (
        "_attribution",
        "_brand",
        "_cgroup",
        "_commands",
        "_counted",
        "_id",
        "_is_killed",
        "_known",
        "_seen",
        "_sessions",
        "_since",
        "is_unsure",
    )

    def __init__(self, job_id: str, attribution: Attribution, cgroup: Cgroup | None = None) -> None:
        self._id = job_id
        self._attribution = attribution
        self._brand = attribution.brand_of(job_id)
        self._cgroup = cgroup
        self._commands: set[int] = set()  # not reaped
        self._sessions: set[int] = set()
        self._known: dict[int, int] = {}  # pid → start time, of members seen before
        self._seen = _NOTHING_SEEN
        self._counted = 0
        self._is_killed = False
        self._since: int | None = None
        self.is_unsure = False

    @property
    def found(self) -> int:
        """How many were seen since the first signal."""
        return self._counted + len(self._seen)

    def spawning(self) -> AbstractContextManager[None]:
        """Entered around a fork, so that the child is a member from its first instruction."""
        branding = self.branding()
        return branding if self._cgroup is None else Within(self._cgroup, branding)

    def branding(self) -> AbstractContextManager[None]:
        """The same for a child that moves itself into the cgroup."""
        if self._since is None:
            self._since = now()
            self._attribution.begin(self._id, self._since)
        return branded(self._brand)

    def spawned(self, pid: int) -> None:
        """This child is a command of the job, and leads a session."""
        self._commands.add(pid)
        self._is_session(pid)

    def reaped(self, pid: int) -> None:
        """The command's process was reaped; its pid may be reused now."""
        # The session lives on as long as a member does, and its number isn't reused before.
        self._commands.discard(pid)

    def signal(
        self, number: int, choice: Choice | None = None, *, but_wrappers: bool = False
    ) -> None:
        """Signal every member, or those that `choice` names; KILL is repeated until no new one
        turns up. `but_wrappers`: as in `send`, but they count as found.

        A process that forks between the look and the signal is found by the next look: its parent's
        death brings one.
        """
        if choice is not None or but_wrappers:
            passed_by = self._wrappers() if but_wrappers else ()
            self._signal_each(number, choice=choice, passed_by=passed_by)
        elif self._cgroup is None or number != signal.SIGKILL:
            self._signal_each(number)
        elif self._is_within(inside := set(self._cgroup.pids())):
            # Counted and not identified: one write kills all, and nothing is looked at again.
            if not (self._is_killed or self._seen):
                self._counted = len(inside)
            elif not self._is_killed:
                self._seen |= {(p.pid, p.started) for p in self._look()}
            self._cgroup.kill()
            self._is_killed = True
        else:
            # Those that were counted are still dying.
            uncounted = inside if self._is_killed else set()
            self._is_killed = True
            self._signal_each(number, uncounted)

    def send(self, number: int, *, but_wrappers: bool = False, group: int = 0) -> int:
        """Send every member this signal, once; the number of those that got it. It isn't counted as
        found. `but_wrappers`: not to the commands' own processes and their children. `group`: only
        to those of this process group.
        """
        passed_by = self._wrappers() if but_wrappers else set()
        members = [p for p in self._look() if p.pid not in passed_by]
        if group:
            members = [p for p in members if group_of(p.pid) == group]
        return sum(send_signal(process, number) for process in _parents_first(members))

    def is_alive(self, choice: Choice | None = None) -> bool:
        """Whether a member lives now, one of those that `choice` names; zombies are dead."""
        if choice is not None:
            return bool(choice(self._look()))
        if self._commands:
            return True  # what isn't reaped yet; its end brings the next question
        if self._cgroup is not None and self._cgroup.is_populated():
            return True
        self.is_unsure = False
        others = self._attribution.strangers if self._known else self._attribution.adopted
        is_any_there = any(_is_there(pid, started) for pid, started in self._known.items())
        return bool(is_any_there or others()) and bool(self._look())

    def members(self) -> list[Process]:
        """Every member that lives now."""
        return self._look()

    def add(self, processes: Collection[Process]) -> None:
        """These are members as well: they were found by other means."""
        self._known.update((process.pid, process.started) for process in processes)

    def pids(self) -> list[int]:
        """Every member that lives now. Zombies may be among them."""
        if self._cgroup is None or self._known or self._attribution.adopted():
            return [process.pid for process in self._look()]
        return list({*self._commands, *self._cgroup.pids()})

    def cpu_s(self) -> float | None:
        """Processor time of all members, dead ones included; None where it isn't counted."""
        return None if self._cgroup is None else self._cgroup.cpu_s()

    def memory_bytes(self) -> int | None:
        """Memory of all members together; None where it isn't counted."""
        return None if self._cgroup is None else self._cgroup.memory_bytes()

    def close(self) -> None:
        """The job is over; nothing is signalled any more."""
        self._known.clear()
        self._attribution.end(self._id)
        for session in self._sessions:
            if self._attribution.sessions.get(session) == self._id:
                del self._attribution.sessions[session]
        self._sessions.clear()
        if self._cgroup is not None:
            self._cgroup.remove()

    def forget_signals(self) -> None:
        """What was signalled so far isn't counted any more."""
        self._seen = _NOTHING_SEEN
        self._counted, self._is_killed = 0, False

    def snapshot(self) -> TreeSnapshot:
        """What is known of the members. Changes nothing."""
        return TreeSnapshot(
            found=self.found,
            seen=set(self._seen),
            is_killed=self._is_killed,
            known=self._known,
            commands=self._commands,
            sessions=self._sessions,
            counted=self._counted,
            since=self._since or 0,
        )

    def resume(self, snapshot: TreeSnapshot) -> None:
        """Go on with what an earlier image of this process knew."""
        self._seen, self._is_killed = frozenset(snapshot.seen), snapshot.is_killed
        # An earlier release counts them in `found` alone.
        self._counted = max(snapshot.counted, snapshot.found - len(snapshot.seen))
        self._known, self._commands = snapshot.known, snapshot.commands
        for session in snapshot.sessions:
            self._is_session(session)
        self._since = snapshot.since
        self._attribution.begin(self._id, self._since)

    def _is_session(self, number: int) -> None:
        self._sessions.add(number)
        self._attribution.sessions[number] = self._id

    def _is_within(self, inside: set[int]) -> bool:
        """Whether every member is one of these, or descends from one."""
        if not self._commands <= inside:
            return False
        if any(
            _is_there(pid, started) for pid, started in self._known.items() if pid not in inside
        ):
            return False
        strangers = self._attribution.strangers() - inside
        return all(self._attribution.is_of(pid, self._id) is False for pid in strangers)

    def _wrappers(self) -> set[int]:
        """The commands' own processes, and their children."""
        return {*self._commands, *(c for pid in self._commands for c in children_of(pid))}

    def _signal_each(
        self,
        number: int,
        uncounted: Collection[int] = (),
        choice: Choice | None = None,
        passed_by: Collection[int] = (),
    ) -> None:
        signalled: set[tuple[int, int]] = set()
        while True:
            members = self._look() if choice is None else choice(self._look())
            fresh = [p for p in members if (p.pid, p.started) not in signalled]
            if number == signal.SIGKILL and self._cgroup is not None and choice is None:
                self._cgroup.kill()
            for process in _parents_first(fresh):
                signalled.add((process.pid, process.started))
                if process.pid not in passed_by:
                    signal_process(process, number)
            self._seen |= {key for key in signalled if key[0] not in uncounted}
            if not fresh or number != signal.SIGKILL:
                return

    def _look(self) -> list[Process]:
        """All living members.

        While this looks, a dying member's children may move to the supervisor, behind the look; a
        second pass sees them there, so it looks until the strangers stay the same.
        """
        before: set[int] | None = None
        while True:
            members = {p.pid: p for p in descendants_of(self._roots())}
            strangers = self._attribution.strangers()
            self.is_unsure = False
            for pid in strangers - members.keys():
                is_of = self._attribution.is_of(pid, self._id)
                self.is_unsure |= is_of is None
                if is_of:
                    members.update({p.pid: p for p in descendants_of([pid])})
            if strangers == before:
                break
            before = strangers
        self._known = {pid: p.started for pid, p in members.items()}
        for process in members.values():
            if process.session == process.pid:
                self._is_session(process.pid)
        return [p for p in members.values() if not p.is_dead]

    def _roots(self) -> list[int]:
        known = [pid for pid, started in self._known.items() if _is_there(pid, started)]
        inside = () if self._cgroup is None else self._cgroup.pids()
        return [*self._commands, *known, *inside]


def _parents_first(processes: Collection[Process]) -> list[Process]:
    """A shell that waits would see its child's death, and exit, before it got a signal that it has
    a trap for.
    """
    return sorted(processes, key=lambda process: (process.started, process.pid))


def _is_there(pid: int, started: int) -> bool:
    process = look_at(pid)
    return process is not None and process.started == started

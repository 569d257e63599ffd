"""The supervisor: jobs, reaper, socket and signals put together on one event loop."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Final

from service.output.pump import StallTimer
from service.supervisor import upgrade
from service.supervisor.connection import Connection
from service.supervisor.job.runner import Job
from service.supervisor.job.runtime import Runtime
from service.supervisor.kept.files import KeptFiles
from service.supervisor.kept.jobs import KeptJobs
from service.supervisor.process.attribution import Attribution
from service.supervisor.process.marks import mark_of
from service.supervisor.process.oom_score import OomScore
from service.supervisor.process.reaper import Reaper
from service.supervisor.process.spawn import Descriptors
from service.supervisor.process.tree import Tree
from service.supervisor.server import Server
from service.supervisor.signals import Signals
from service.supervisor.snapshot import RegisterSnapshot, Snapshot
from service.supervisor.socket_file import SocketFile
from service.supervisor.unclosed import UnclosedLogs

if TYPE_CHECKING:
    from pathlib import Path

    from service.link.job_events import EventBody
    from service.supervisor.process.cgroup import Cgroups
    from service.supervisor.process.job_cgroup import Controllers

# Seconds between TERM and KILL when the supervisor itself is told to end.
_SIGNALLED_GRACE_S: Final = 4.0


class Supervisor:
    """One supervisor, from its snapshot to its end. Made and run in the loop that it serves in."""

    def __init__(
        self,
        state_dir: Path,
        cgroups: Cgroups | None,
        controllers: Controllers | None,
        snapshot: Snapshot,
        arguments: list[str],
        *,
        stay: bool,
    ) -> None:
        """`snapshot`: the first one, or that of the previous image of this process; `arguments`:
        those of the next image. One that is to `stay` doesn't exit when it is idle.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._cgroups = cgroups
        self._snapshot = snapshot
        self._arguments = arguments
        self._descriptors = Descriptors(snapshot.child_soft)
        self._oom = OomScore(snapshot.oom_of_jobs)
        self._files = SocketFile(loop, state_dir, snapshot)
        stalls = StallTimer(loop)
        mark = mark_of(snapshot.socket.directory)
        commands: dict[int, Job] = {}
        self._attribution = Attribution(commands, mark)
        self._kept = KeptJobs(
            loop,
            KeptFiles(state_dir),
            snapshot.nonce,
            mark,
            self._attribution,
            self._make_tree,
            controllers,
        )
        self._kept.resume()  # before jobs that live, to which a session's number may belong now
        self._runtime = Runtime(
            loop=loop,
            state_dir=str(state_dir),
            descriptors=self._descriptors,
            stalls=stalls,
            unclosed=UnclosedLogs(stalls),
            make_tree=self._make_tree,
            emit=self._emit,
            controllers=controllers,
            mark=mark,
            together=self._attribution.one_list,
            reap=lambda: self._reaper.reap(),  # noqa: PLW0108 - it is made later
            on_spawned=self._oom.set_for,
            kept=self._kept,
            commands=commands,
        )
        self._server = Server(
            self._runtime,
            snapshot,
            stay=stay,
            take_snapshot=self._take_snapshot,
            become=self._become,
        )
        self._signals = Signals(
            loop, self._told_to_end, self._files.look, lambda: self._server.register.has_live
        )
        self._reaper = Reaper(
            loop,
            self._child_died,
            self._check_trees,
            before=self._signals.read,
            together=self._attribution.one_list,
        )

    async def run(self) -> None:
        """Serve until nothing is left to serve for."""
        self._signals.unblock()
        self._signals.read()  # its sender may be among the dead
        self._reaper.reap()  # children that died before there was a handler
        self._check_trees()
        await self._files.serve(lambda: Connection(self._server, self._loop))
        await self._server.ended
        # Closed first: who connects now finds nobody, and starts another, which waits for the lock
        # until this process is gone.
        self._files.close()
        self._reaper.close()
        self._signals.close()
        self._descriptors.close()
        self._attribution.close()

    def _make_tree(self, job_id: str) -> Tree:
        cgroup = None if self._cgroups is None else self._cgroups.make(job_id)
        return Tree(job_id, self._attribution, cgroup)

    def _emit(self, job: Job, event: EventBody) -> None:
        self._server.emit(job, event)

    def _child_died(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        job = self._runtime.commands.pop(pid, None)
        if job is not None:
            job.reaped(pid, status, used)
        elif not self._server.trial_ended(pid, status):
            self._kept.reaped(pid)

    def _check_trees(self) -> None:
        for job in list(self._runtime.tree_checks):
            job.check_tree()

    def _told_to_end(self) -> None:
        self._server.told_to_end(_SIGNALLED_GRACE_S)

    def _take_snapshot(self, register: RegisterSnapshot) -> Snapshot:
        return Snapshot(
            nonce=self._snapshot.nonce,
            socket=self._files.snapshot(),
            upgrades=self._snapshot.upgrades,
            child_soft=self._descriptors.child_soft,
            oom_of_jobs=self._oom.of_jobs,
            register=register,
        )

    def _become(self, snapshot: Snapshot) -> None:
        """Execute the next image. Returns never; raises OSError when nothing has changed."""
        try:
            self._signals.block()
            upgrade.execute(self._arguments, snapshot)
        finally:
            self._signals.unblock()

"""The supervisor's event loop: jobs, reaper, socket and signals put together."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Final

from service.output.pump import StallTimer
from service.supervisor import upgrade
from service.supervisor.connection import Connection
from service.supervisor.job.runner import Job
from service.supervisor.job.runtime import Runtime
from service.supervisor.process.marks import mark_of
from service.supervisor.process.oom_score import OomScore
from service.supervisor.process.reaper import Reaper
from service.supervisor.process.spawn import Descriptors
from service.supervisor.process.tree import CgroupTree, Tree, WalkTree
from service.supervisor.server import Server
from service.supervisor.signals import Signals, let_come
from service.supervisor.snapshot import RegisterSnapshot, Snapshot
from service.supervisor.socket_file import SocketFile
from service.supervisor.unclosed import UnclosedLogs

if TYPE_CHECKING:
    from pathlib import Path

    from service.supervisor.process.cgroup import Cgroups
    from service.supervisor.process.job_cgroup import Controllers

# Seconds between TERM and KILL when the supervisor itself is told to end.
_SIGNALLED_GRACE_S: Final = 4.0


async def serve(
    state_dir: Path,
    cgroups: Cgroups | None,
    controllers: Controllers | None,
    snapshot: Snapshot,
    arguments: list[str],
    *,
    stay: bool,
) -> None:
    """Serve until nothing is left to serve for. `snapshot`: the first one, or that of the previous
    image of this process; `arguments`: those of the next image.
    """
    loop = asyncio.get_running_loop()
    descriptors = Descriptors(snapshot.child_soft)
    oom = OomScore(snapshot.oom_of_jobs)
    commands: dict[int, Job] = {}
    sessions: dict[int, str] = {}
    files = SocketFile(loop, state_dir, snapshot)

    def make_tree(job_id: str) -> Tree:
        if cgroups is not None:
            return CgroupTree(cgroups.make(job_id))
        return WalkTree(job_id, others=lambda: set(commands), sessions=sessions)

    stalls = StallTimer(loop)
    runtime = Runtime(
        loop=loop,
        state_dir=str(state_dir),
        descriptors=descriptors,
        stalls=stalls,
        unclosed=UnclosedLogs(stalls),
        make_tree=make_tree,
        emit=lambda job, body: server.emit(job, body),  # noqa: PLW0108 - made below
        controllers=controllers,
        commands=commands,
        mark=mark_of(snapshot.socket.directory),
        on_spawned=oom.set_for,
    )

    def take_snapshot(register: RegisterSnapshot) -> Snapshot:
        return Snapshot(
            nonce=snapshot.nonce,
            socket=files.snapshot(),
            upgrades=snapshot.upgrades,
            child_soft=descriptors.child_soft,
            oom_of_jobs=oom.of_jobs,
            register=register,
        )

    def become(present: Snapshot) -> None:
        try:
            handlers.hold_back()
            upgrade.execute(arguments, present)
        finally:
            let_come()

    server = Server(runtime, snapshot, stay=stay, take_snapshot=take_snapshot, become=become)

    def died(pid: int, status: int, used: resource.struct_rusage) -> None:
        job = commands.pop(pid, None)
        if job is not None:
            job.reaped(pid, status, used)
        else:
            server.trial_ended(pid, status)

    def check_trees() -> None:
        for job in list(runtime.tree_checks):
            job.check_tree()

    reaper = Reaper(loop, died, check_trees)
    handlers = Signals(loop, lambda: server.shut_down(_SIGNALLED_GRACE_S), files.look)
    let_come()
    reaper.reap()  # who died before there was a handler
    check_trees()
    await files.serve(lambda: Connection(server, loop))
    await server.ended
    # Closed first: who connects now finds nobody, and starts another, which waits for the lock
    # until this process is gone.
    files.close()
    reaper.close()
    handlers.close()
    descriptors.close()

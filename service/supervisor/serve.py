"""The supervisor's event loop: jobs, reaper, socket and signals put together."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any, Final

from service.output.pump import StallTimer
from service.supervisor import upgrade
from service.supervisor.connection import Connection
from service.supervisor.job.runner import Host, Job
from service.supervisor.process.marks import mark_of
from service.supervisor.process.oom_score import OomScore
from service.supervisor.process.reaper import Reaper
from service.supervisor.process.spawn import Descriptors
from service.supervisor.process.tree import CgroupTree, Tree, WalkTree
from service.supervisor.server import Server
from service.supervisor.signals import Signals, let_come
from service.supervisor.socket_file import SocketFile
from service.supervisor.unclosed import UnclosedLogs

if TYPE_CHECKING:
    from pathlib import Path

    from service.supervisor.process.cgroup import Cgroups
    from service.supervisor.process.controllers import Controllers

# Seconds between TERM and KILL when the supervisor itself is told to end.
_SIGNALLED_GRACE_S: Final = 4.0


async def serve(
    state_dir: Path,
    cgroups: Cgroups | None,
    controllers: Controllers | None,
    state: dict[str, Any],
    arguments: list[str],
    *,
    stay: bool,
) -> None:
    """Serve until nothing is left to serve for. `state` is the first one, or a predecessor's;
    `arguments` are those of a successor.
    """
    loop = asyncio.get_running_loop()
    descriptors = Descriptors(state.get("child_soft"))
    oom = OomScore(state.get("oom_of_jobs"))
    commands: dict[int, Job] = {}
    sessions: dict[int, str] = {}
    files = SocketFile(loop, state_dir, state)

    def make_tree(job_id: str) -> Tree:
        if cgroups is not None:
            return CgroupTree(cgroups.make(job_id))
        return WalkTree(job_id, others=lambda: set(commands), sessions=sessions)

    stalls = StallTimer(loop)
    host = Host(
        loop=loop,
        state_dir=str(state_dir),
        descriptors=descriptors,
        stalls=stalls,
        unclosed=UnclosedLogs(stalls),
        make_tree=make_tree,
        emit=lambda job, body: server.emit(job, body),  # noqa: PLW0108 - made below
        controllers=controllers,
        commands=commands,
        mark=mark_of(state["directory"]),
        settle=oom.settle,
    )

    def become(told: dict[str, Any]) -> None:
        kept = {
            "child_soft": descriptors.child_soft,
            "oom_of_jobs": oom.of_jobs,
            "cgroup_token": state.get("cgroup_token"),
        }
        try:
            handlers.hold_back()
            upgrade.execute(arguments, {**files.state(), **kept, **told})
        finally:
            let_come()

    server = Server(
        host,
        nonce=state["nonce"],
        stay=stay,
        become=become,
        upgrades=state.get("upgrades", 0),
        state=state.get("register"),
    )

    def died(pid: int, status: int, used: resource.struct_rusage) -> None:
        job = commands.pop(pid, None)
        if job is not None:
            job.reaped(pid, status, used)
        else:
            server.trial_ended(pid, status)

    def look() -> None:
        for job in list(host.watching):
            job.look()

    reaper = Reaper(loop, died, look)
    handlers = Signals(loop, lambda: server.shut_down(_SIGNALLED_GRACE_S), files.look)
    let_come()
    reaper.reap()  # who died before there was a handler
    look()
    await files.serve(lambda: Connection(server, loop))
    await server.ended
    # Closed first: who connects now finds nobody, and starts another, which waits for the lock
    # until this process is gone.
    files.close()
    reaper.close()
    handlers.close()
    descriptors.close()

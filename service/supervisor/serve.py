"""The supervisor's event loop: jobs, reaper, socket and signals put together."""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from service.output.pump import StallTimer
from service.supervisor import upgrade
from service.supervisor.connection import Connection
from service.supervisor.job import Host, Job
from service.supervisor.journal import note
from service.supervisor.reaper import Reaper
from service.supervisor.server import End, Server
from service.supervisor.spawn import Descriptors
from service.supervisor.tree import CgroupTree, Tree, WalkTree
from service.supervisor.unclosed import UnclosedLogs

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from service.supervisor.cgroup import Cgroups
    from service.supervisor.controllers import Controllers

# Seconds between TERM and KILL when the supervisor itself is told to end.
_SIGNALLED_GRACE_S: Final = 4.0


async def serve(
    listener: socket.socket,
    state_dir: Path,
    cgroups: Cgroups | None,
    controllers: Controllers | None,
    state: dict[str, Any],
    *,
    stay: bool,
) -> dict[str, Any] | None:
    """Serve until the end. `state` is the first one, or a predecessor's; what comes back is the
    state for a successor, or None when nothing is left to serve for.
    """
    loop = asyncio.get_running_loop()
    descriptors = Descriptors(state.get("child_soft"))
    commands: dict[int, Job] = {}
    sessions: dict[int, str] = {}

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
        emit=lambda job, name, fields: server.emit(job, name, fields),  # noqa: PLW0108 - made below
        controllers=controllers,
        commands=commands,
    )
    upgrades = state.get("upgrades", 0)
    server = Server(
        host, nonce=state["nonce"], stay=stay, upgrades=upgrades, state=state.get("register")
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
    loop.add_signal_handler(signal.SIGTERM, functools.partial(server.shut_down, _SIGNALLED_GRACE_S))
    for number in (signal.SIGHUP, signal.SIGINT):
        # Handled, not ignored: exec keeps what is ignored.
        loop.add_signal_handler(number, note, "signal_passed_over")
    upgrade.let_signals_come()
    reaper.reap()  # who died before there was a handler
    look()
    heir = os.dup(listener.fileno())  # the event loop closes the one that it listens on
    # From 3.13 on asyncio removes the socket's file with the server: a successor still needs it.
    keep_file: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
    listening = await loop.create_unix_server(
        lambda: Connection(server, loop), sock=listener, **keep_file
    )
    end = await server.ended
    if end is End.UPGRADE:
        # No callback runs from here on, so nothing changes while it is written down.
        upgrade.hold_signals_back()
        kept = {"nonce": state["nonce"], "lock": state["lock"], "listener": heir}
        kept["upgrades"] = upgrades
        return {**kept, "child_soft": descriptors.child_soft, "register": server.state()}
    # Closed first: who connects now meets an end of stream before hello, and starts another, which
    # waits for the lock until this process is gone.
    os.close(heir)
    listening.close()
    reaper.close()
    descriptors.close()
    return None

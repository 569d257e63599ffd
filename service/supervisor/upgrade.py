"""The supervisor re-executes itself in place: same pid, same children, same pipes, new code.

Rules
1. What it knows is written down and the new code executed in one callback of the loop. Nothing runs
   in between: a child that would be spawned or reaped there, a kill or a number of an event that
   would be given out, is one that the new code doesn't know of.
2. Writing it down changes nothing. When the kernel refuses the exec, all goes on as it was.
3. What peers have sent and nobody has read is lost with their connections, which close. Workers
   connect again, are handed their jobs with all that they haven't acknowledged, and ask again.
4. First the new code is tried in a child of its own. One that can't be imported, can't read this
   state, or doesn't say so within a bound, changes nothing.

The state goes into a memory file that the new program inherits with the pipes, the logs, the socket
and the locks. Children that have died meanwhile wait to be reaped.
Source: execve(2): pid, children, open descriptors and the subreaper attribute stay.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.link.to_supervisor import Upgrade
from service.supervisor.snapshot import VERSION

if TYPE_CHECKING:
    from service.supervisor.connection import Connection

# Seconds that a trial may take: it imports and decodes.
_TRIAL_S: Final = 30.0


class CantResume(Exception):
    """The state is of a release that this one can't follow."""


class Trial:
    """The one trial of new code that may be under way, and who waits for it: who asks meanwhile
    gets the same.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pid = 0
        self._bound: asyncio.TimerHandle | None = None
        self._askers: list[tuple[Connection, Upgrade]] = []

    def ask(self, connection: Connection, message: Upgrade, state: dict[str, Any]) -> None:
        """Try whether the new code can take over `state`. Raises: OSError."""
        if not self._pid:
            self._pid = _try_new_code(state)
            self._bound = self._loop.call_later(_TRIAL_S, os.kill, self._pid, signal.SIGKILL)
        self._askers.append((connection, message))

    def ended(self, pid: int) -> list[tuple[Connection, Upgrade]] | None:
        """The trial was reaped: who asked for it. None if `pid` is another process."""
        if not pid or pid != self._pid:
            return None
        if self._bound is not None:
            self._bound.cancel()
        askers, self._askers, self._pid = self._askers, [], 0
        return askers


def _try_new_code(state: dict[str, Any]) -> int:
    """Start a child that only checks whether the new code could take over; its pid. It exits with 0
    if so, and is reaped by the one reaper.
    """
    memory = _written(state)
    try:
        child = subprocess.Popen(
            [*_program(), "--can-resume", str(VERSION)],
            stdin=memory,
            stdout=subprocess.DEVNULL,
        )
    finally:
        os.close(memory)
    child.returncode = 0  # the reaper waits for every child
    return child.pid


def execute(arguments: list[str], state: dict[str, Any]) -> None:
    """Become the new code. Returns never; raises OSError when the kernel refuses, and then nothing
    has changed.
    """
    memory = _written(state)
    handed = [memory, *_descriptors(state)]
    try:
        for descriptor in handed:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - os takes it by position only
        program = _program()
        os.execv(program[0], [*program, *arguments, "--resume-fd", str(memory)])  # noqa: S606
    finally:
        for descriptor in handed:
            keep(descriptor)
        os.close(memory)


def _descriptors(state: dict[str, Any]) -> list[int]:
    """Those that `state` names."""
    found = [state[name] for name in ("listener", "lock", "directory") if name in state]
    for entry in state["register"]["entries"]:
        job = entry["job"]
        found += [pipe[0] for pipe in job["pipes"]]
        found += job.get("log") or ()
        if (report := job["aftermath"]["report"]) >= 0:
            found.append(report)
    return found


def _written(state: dict[str, Any]) -> int:
    """A memory file with it, to be read from its beginning. Raises: OSError."""
    memory = os.memfd_create("jobrunner-supervisor", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(json.dumps({**state, "version": VERSION}).encode())
        os.lseek(memory, 0, os.SEEK_SET)
    except BaseException:
        os.close(memory)
        raise
    return memory


def read(memory: int) -> dict[str, Any]:
    """The state that a predecessor left. Raises: CantResume."""
    with open(memory, "rb") as file:
        file.seek(0)
        state: dict[str, Any] = json.load(file)
    if state["version"] > VERSION:
        raise CantResume(f"state version {state['version']}; this release knows {VERSION}")
    return state


def inherit(state: dict[str, Any]) -> None:
    """The descriptors that a predecessor handed over are for no command."""
    for descriptor in _descriptors(state):
        keep(descriptor)


def keep(descriptor: int) -> None:
    """This descriptor is for no command."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
    fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)


def _program() -> list[str]:
    path = Path(sys.executable)
    return [str(path), "-P", "-m", "service.supervisor"]

"""The supervisor re-executes itself in place: same pid, same children, same pipes, new code.

Rules
1. The snapshot is written and the new code executed in one callback of the loop. Nothing runs in
   between: a child that were spawned or reaped there, a kill or the number of an event would be
   unknown to the new code.
2. Taking a snapshot changes nothing. When the kernel refuses the exec, all goes on as it was.
3. What peers have sent and nobody has read is lost with their connections, which close. Workers
   connect again, are handed their jobs with all events that they haven't acknowledged, and repeat
   their requests.
4. First the new code is tried in a child of its own. If it can't be imported, can't read this
   snapshot, or doesn't report success within a bound, nothing changes.

The snapshot goes into a memory file that the next image inherits with the pipes, the logs, the
socket and the locks. Children that have died meanwhile wait to be reaped.
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
from typing import TYPE_CHECKING, Final

from service.host.procfs import starved_s
from service.host.utf8_mode import OPTIONS as UTF8
from service.link.to_supervisor import Upgrade
from service.supervisor.process.brand import OF_NO_JOB, branded
from service.supervisor.snapshot import VERSION, Snapshot, from_json, to_json

if TYPE_CHECKING:
    from service.supervisor.connection import Connection

# Seconds that a trial may take: it imports and decodes. Those don't count in which it has to wait
# for a processor.
_TRIAL_S: Final = 30.0
# Seconds between two looks at one whose time has passed, at least.
_LOOK_S: Final = 1.0


class CantResume(Exception):
    """The snapshot is of a layout that this release doesn't know."""


class Trial:
    """The one trial of new code that may be under way, and the requests that wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pid = 0
        self._bound: asyncio.TimerHandle | None = None
        self._requests: list[tuple[Connection, Upgrade]] = []

    def request(self, connection: Connection, message: Upgrade, snapshot: Snapshot) -> None:
        """Try whether the new code can take over this snapshot. A request that comes while a trial
        is under way gets its result. Raises: OSError.
        """
        if not self._pid:
            self._pid = _try_new_code(snapshot)
            self._bound = self._loop.call_later(_TRIAL_S, self._look, 0.0)
        self._requests.append((connection, message))

    def _look(self, excused_s: float) -> None:
        """Its time has passed, if it hasn't been starved for longer than it was excused for."""
        more_s = starved_s(self._pid) - excused_s
        if more_s < _LOOK_S:
            os.kill(self._pid, signal.SIGKILL)  # reaped by nobody but us, so it is still this one
        else:
            self._bound = self._loop.call_later(more_s, self._look, excused_s + more_s)

    def ended(self, pid: int) -> list[tuple[Connection, Upgrade]] | None:
        """The trial was reaped: the requests for it. None if `pid` is another process."""
        if not pid or pid != self._pid:
            return None
        if self._bound is not None:
            self._bound.cancel()
        requests, self._requests, self._pid = self._requests, [], 0
        return requests


def _try_new_code(snapshot: Snapshot) -> int:
    """Start a child that checks whether the new code could take over; its pid. It exits with 0 if
    so, and is reaped by the one reaper.
    """
    memory = _written(snapshot)
    try:
        with branded(OF_NO_JOB):
            child = subprocess.Popen(
                [*_program(), "--can-resume", str(VERSION)],
                stdin=memory,
                stdout=subprocess.DEVNULL,
            )
    finally:
        os.close(memory)
    child.returncode = 0  # the reaper waits for every child
    return child.pid


def execute(arguments: list[str], snapshot: Snapshot) -> None:
    """Become the new code. Never returns; raises OSError when the kernel refuses, and then nothing
    has changed.
    """
    memory = _written(snapshot)
    inherited = [memory, *snapshot.descriptors]
    try:
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - os takes it by position only
        program = _program()
        os.execv(program[0], [*program, *arguments, "--resume-fd", str(memory)])  # noqa: S606
    finally:
        for descriptor in inherited:
            _close_on_exec(descriptor)
        os.close(memory)


def _written(snapshot: Snapshot) -> int:
    """A memory file with it, to be read from its beginning. Raises: OSError."""
    memory = os.memfd_create("jobrunner-supervisor", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(json.dumps(to_json(snapshot)).encode())
        os.lseek(memory, 0, os.SEEK_SET)
    except BaseException:
        os.close(memory)
        raise
    return memory


def resume(memory: int) -> Snapshot:
    """The snapshot of the previous image of this process, whose descriptors no command inherits.

    Raises: CantResume.
    """
    snapshot = read(memory)
    for descriptor in snapshot.descriptors:
        _close_on_exec(descriptor)
    return snapshot


def read(memory: int) -> Snapshot:
    """The snapshot in this file, which is closed. Raises: CantResume."""
    with open(memory, "rb") as file:
        file.seek(0)
        value = json.load(file)
    if value["version"] != VERSION:
        raise CantResume(f"a snapshot of layout {value['version']}; this release knows {VERSION}")
    return from_json(Snapshot, value)


def _close_on_exec(descriptor: int) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
    fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)


def _program() -> list[str]:
    path = Path(sys.executable)
    return [str(path), *UTF8, "-P", "-m", "service.supervisor"]

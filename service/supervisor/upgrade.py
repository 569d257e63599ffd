"""The supervisor re-executes itself in place: same pid, same children, same pipes, new code.

What it knows goes into a memory file that the new program inherits with the pipes, the socket and
the lock. First the new code is tried in a child of its own; one that can't be imported, or that
can't read this release's state, changes nothing.
Source: execve(2): pid, children, open descriptors and the subreaper attribute stay.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

# The layout of the state. Keys may be added; a reader gives those it misses their defaults.
STATE_VERSION: Final = 1
# Signals that would end the new program before it has handlers for them.
_HELD_BACK: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CantResume(Exception):
    """The state is of a release that this one can't follow."""


def try_new_code() -> int:
    """Start a child that only checks whether the new code could take over; its pid. It exits with 0
    if so, and is reaped by the one reaper.
    """
    child = subprocess.Popen(
        [*_program(), "--can-resume", str(STATE_VERSION)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    child.returncode = 0  # the reaper waits for every child
    return child.pid


def execute(arguments: list[str], state: dict[str, Any]) -> None:
    """Become the new code. Returns never; raises OSError when the kernel refuses."""
    memory = os.memfd_create("jobrunner-supervisor", 0)
    descriptors = [state["listener"], state["lock"]]
    for entry in state["register"]["entries"]:
        descriptors += [pipe[0] for pipe in entry["job"]["pipes"]]
        if (report := entry["job"]["aftermath"]["report"]) >= 0:
            descriptors.append(report)
    with open(memory, "wb", closefd=False) as file:
        file.write(json.dumps({**state, "version": STATE_VERSION}).encode())
    for descriptor in (memory, *descriptors):
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - os takes it by position only
    program = _program()
    os.execv(program[0], [*program, *arguments, "--resume-fd", str(memory)])  # noqa: S606


def hold_signals_back() -> None:
    """Until the successor has its handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)


def let_signals_come() -> None:
    """Handlers are there; nothing is blocked, for this process and its commands."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def read(memory: int) -> dict[str, Any]:
    """The state that a predecessor left. Raises: CantResume."""
    with open(memory, "rb") as file:
        file.seek(0)
        state: dict[str, Any] = json.load(file)
    if state["version"] > STATE_VERSION:
        raise CantResume(f"state version {state['version']}; this release knows {STATE_VERSION}")
    return state


def inherited_listener(descriptor: int) -> socket.socket:
    """The socket that a predecessor bound; clients that connected meanwhile wait in it."""
    keep(descriptor)
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)  # noqa: FBT003 - socket takes it by position only
    return listener


def keep(descriptor: int) -> None:
    """An inherited descriptor is not for commands."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
    fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)


def _program() -> list[str]:
    path = Path(sys.executable)
    return [str(path), "-P", "-m", "service.supervisor"]

"""The supervisor that holds a directory's locks, for the candidate that can't reach it.

It is called first: HUP has it put its socket and its lock file back where they belong, and CONT
wakes one that was stopped, so nothing that runs is lost. One that stays silent is killed: it can't
wake up any more, and what it left is swept away. So there are never two that spawn.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.host.event_log import log_event
from service.host.locks import hold, holders
from service.paths import SUPERVISOR_SOCKET

# Seconds that one may stay silent after it was called, until it is killed. Its loop may be waiting
# for a disk, and all its jobs end with it.
SILENT_S: Final = 30.0
# Seconds until a peer that accepted must have said hello; it says it on accepting.
_HELLO_S: Final = 5.0
# Seconds between two looks whether one that was called serves again, or is gone.
_LOOK_S: Final = 0.1
# Seconds for a killed one to go: KILL acts in milliseconds.
_GONE_S: Final = 10.0


class Stuck(Exception):
    """One holds the directory, is silent, and can't be ended; the message says which."""


def take_over(state_dir: Path, directory: int, *, silent_s: float) -> int | None:
    """The descriptor of the lock; None when another one serves. `directory`: an open descriptor of
    the state directory, which is locked as well.

    Raises: Stuck.
    """
    begun = time.monotonic()
    was_called = was_killed = False
    while True:
        if is_served(directory, min(_HELLO_S, silent_s)):
            return None
        if (lock := hold(state_dir, directory)) is not None:
            return lock
        found = holders(state_dir)
        if was_killed:
            raise Stuck(f"the supervisor holds {state_dir} and can't be ended; its pid: {found}")
        if was_killed := was_called and time.monotonic() - begun >= silent_s:
            log_event("supervisor_replaced", pids=found, silent_s=silent_s)
            _signal(found, signal.SIGKILL, within_s=_GONE_S)
            continue
        if not was_called:
            log_event("supervisor_called", pids=found)
            was_called = True
        _signal(found, signal.SIGHUP, signal.SIGCONT, within_s=_LOOK_S)


def is_served(directory: int, seconds: float = _HELLO_S) -> bool:
    """Whether somebody says hello at the socket in that directory."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(seconds)
        try:
            probe.connect(f"/proc/self/fd/{directory}/{SUPERVISOR_SOCKET}")
            return bool(probe.recv(1))
        except OSError:
            return False


def _signal(pids: list[int], *numbers: int, within_s: float) -> None:
    """Signal them, and wait until one has ended, or for that long."""
    poller = select.poll()
    descriptors = []
    try:
        for pid in pids:
            with suppress(OSError):
                descriptors.append(os.pidfd_open(pid))
                poller.register(descriptors[-1], select.POLLIN)
                for number in numbers:
                    signal.pidfd_send_signal(descriptors[-1], number)
        poller.poll(within_s * 1000)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)

"""How a candidate takes over from a supervisor that holds the locks and doesn't respond.

That one is signalled first: on HUP it restores its socket and its lock file, and CONT resumes one
that was stopped, so no job is lost. One that stays silent is killed, and the orphans of its jobs
are reaped. So never do two supervisors spawn commands.
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

# Seconds that one may stay silent after it was signalled, until it is killed. Its loop may be
# waiting for a disk, and all its jobs end with it.
SILENT_S: Final = 30.0
# Seconds for the hello, which a supervisor sends as soon as it accepts.
_HELLO_S: Final = 5.0
# Seconds between two checks whether one that was signalled serves again, or is gone.
_CHECK_S: Final = 0.1
# Seconds for a killed one to be gone: KILL acts in milliseconds.
_GONE_S: Final = 10.0


class Stuck(Exception):
    """A silent supervisor holds the directory and can't be killed; the message says which."""


def take_over(state_dir: Path, directory: int, *, silent_s: float) -> int | None:
    """Become the holder of the locks. Returns the lock file's descriptor; None when another one
    serves. `directory`: an open descriptor of the state directory, which is locked as well.

    Raises: Stuck.
    """
    begun = time.monotonic()
    was_signalled = was_killed = False
    while True:
        if is_served(directory, min(_HELLO_S, silent_s)):
            return None
        if (lock := hold(state_dir, directory)) is not None:
            return lock
        found = holders(state_dir)
        if was_killed:
            raise Stuck(f"the supervisor holds {state_dir} and can't be killed; its pid: {found}")
        if was_killed := was_signalled and time.monotonic() - begun >= silent_s:
            log_event("supervisor_replaced", pids=found, silent_s=silent_s)
            _signal(found, signal.SIGKILL, within_s=_GONE_S)
            continue
        if not was_signalled:
            log_event("supervisor_signalled", pids=found)
            was_signalled = True
        _signal(found, signal.SIGHUP, signal.SIGCONT, within_s=_CHECK_S)


def is_served(directory: int, seconds: float = _HELLO_S) -> bool:
    """Whether a supervisor sends its hello on the socket in that directory."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(seconds)
        try:
            probe.connect(f"/proc/self/fd/{directory}/{SUPERVISOR_SOCKET}")
            return bool(probe.recv(1))
        except OSError:
            return False


def _signal(pids: list[int], *numbers: int, within_s: float) -> None:
    """Signal them, and wait until one has exited, or for that long."""
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

"""Processes as an operator wants to see them: command, state, processor time, memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.host.escaping import escaped
from service.host.process_states import OTHER, STATES
from service.host.process_use import TICKS_PER_S, ProcessUse, use_of

# The most that are listed: those that have used the processor most.
MAX_LISTED: Final = 1000
# Characters of a command.
_MAX_COMMAND: Final = 1000
# Bytes that are read of a command line: each character has at most four.
_MAX_BYTES: Final = 4 * _MAX_COMMAND


@dataclass(frozen=True, slots=True)
class ProcessNow:
    """A process. `started_at` is by the wall clock, in nanoseconds. `waiting`: in the kernel, for a
    disk as a rule; no signal reaches it meanwhile.
    """

    pid: int
    parent: int
    command: str
    state: str
    cpu_s: float
    memory_bytes: int
    started_at: int


def list_processes(identities: Iterable[tuple[int, int]]) -> list[ProcessNow]:
    """Those of these processes (pid and start time) that still live, the one that has used the
    processor most first.
    """
    uses = []
    for pid, started in identities:
        use = use_of(pid)
        if use is not None and use.started == started and not use.is_dead:
            uses.append((pid, use))
    uses.sort(key=lambda found: (-found[1].cpu_s, found[0]))
    boot = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return [_now(pid, use, boot) for pid, use in uses[:MAX_LISTED]]


def _now(pid: int, use: ProcessUse, boot: int) -> ProcessNow:
    return ProcessNow(
        pid=pid,
        parent=use.parent,
        command=_command(pid, use.name),
        state=STATES.get(use.state, OTHER),
        cpu_s=use.cpu_s,
        memory_bytes=use.memory_bytes,
        started_at=boot + use.started * 1_000_000_000 // TICKS_PER_S,
    )


def _command(pid: int, name: bytes) -> str:
    """Its arguments with blanks between, as `ps` shows them, or its name in brackets."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            arguments = file.read(_MAX_BYTES).rstrip(b"\0").replace(b"\0", b" ")
    except OSError:
        arguments = b""
    shown = arguments or b"[" + name + b"]"
    return escaped(shown.decode(errors="backslashreplace")[:_MAX_COMMAND])

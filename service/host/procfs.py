"""Looking at processes: what /proc tells, and signals that can't hit a stranger."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from service.host.identity import Identity


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it; `started` with `pid` names it for ever."""

    pid: int
    parent: int
    session: int
    started: int
    is_dead: bool  # a zombie: dead, and not yet reaped by its parent
    is_stopped: bool = False  # by a signal, or by who traces it


def look_at(pid: int) -> Process | None:
    """The process, or None when there is none. Source: proc(5), /proc/pid/stat."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, parentheses included.
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        is_dead=fields[0] in (b"Z", b"X"),
        is_stopped=fields[0] in (b"T", b"t"),
    )


def children_of(pid: int) -> list[int]:
    """The children of every thread of `pid`; empty when it is gone.

    Source: proc(5), /proc/pid/task/tid/children. An entry can be missed while children are being
    reaped; those of the supervisor are reaped by itself alone, between two looks.
    """
    children: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return children
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                children += map(int, file.read().split())
        except OSError:
            continue
    return children


def has_variable(pid: int, variable: bytes) -> bool:
    """True if `pid` was executed with `variable` (`NAME=value`) in its environment."""
    return variable in _environment(pid)


def variables_of(pid: int) -> dict[bytes, bytes]:
    """The environment that `pid` was executed with; empty when it can't be read."""
    return {name: value for name, _, value in (v.partition(b"=") for v in _environment(pid))}


def _environment(pid: int) -> list[bytes]:
    """Empty when it is gone, or may not be read. Root without the capabilities for processes of
    others (in a container, in a unit) may read as their user. Source: ptrace(2), access checks.
    """
    path = f"/proc/{pid}"
    try:
        try:
            return _variables_in(f"{path}/environ")
        except PermissionError:
            user = os.stat(path)
            with Identity(user.st_uid, user.st_gid).assumed():
                return _variables_in(f"{path}/environ")
    except OSError:
        return []


def _variables_in(path: str) -> list[bytes]:
    with open(path, "rb") as file:
        return file.read().split(b"\0")


def all_pids() -> list[int]:
    """Every process there is now, in no order."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def signal_process(process: Process, number: int) -> bool:
    """Signal exactly that process; False when it is gone.

    Through a pidfd, and after a second look that it still is the same one: pids wrap in seconds on
    a busy machine. A TERM is followed by CONT, as a stopped process takes nothing but KILL.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = look_at(process.pid)
        if now is None or now.started != process.started:
            return False
        signal.pidfd_send_signal(descriptor, number)
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP):
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True

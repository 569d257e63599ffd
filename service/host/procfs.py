"""Processes as /proc shows them, and signals that can't reach another process by mistake."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.host.identity import Identity


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `pid` and `started` together identify it for ever."""

    pid: int
    parent: int
    session: int
    started: int
    is_dead: bool  # a zombie: not yet reaped by its parent
    is_stopped: bool = False  # by a signal, or by a tracer


def look_at(pid: int) -> Process | None:
    """The process; None when there is none. Source: proc(5), /proc/pid/stat."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name is in parentheses and may contain anything, parentheses included.
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        is_dead=fields[0] in (b"Z", b"X"),
        is_stopped=fields[0] in (b"T", b"t"),
    )


def starved_s(pid: int) -> float:
    """Seconds that the main thread of `pid` wanted to run and had no processor; 0 where the kernel
    doesn't tell. Source: Documentation/scheduler/sched-stats.rst, /proc/pid/schedstat.
    """
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            _, waited, _ = file.read().split()
    except (OSError, ValueError):
        return 0.0
    return int(waited) / 1e9


def children_of(pid: int) -> list[int]:
    """The children of all threads of `pid`; empty when it is gone.

    Source: proc(5), /proc/pid/task/tid/children. The kernel may omit an entry while children are
    being reaped; the supervisor reaps its own between two calls.
    """
    children: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return children
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                children += map(int, file.readall().split())
        except OSError:
            continue
    return children


def descendants_of(roots: Iterable[int]) -> Iterator[Process]:
    """These processes, as far as they exist, and all that descend from them, once each."""
    todo = list(roots)
    done: set[int] = set()
    while todo:
        pid = todo.pop()
        if pid in done:
            continue
        done.add(pid)
        process = look_at(pid)
        if process is not None:
            yield process
            todo += children_of(pid)


def group_of(pid: int) -> int:
    """Its process group; 0 when it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def realtime_limit_of(pid: int) -> int | None:
    """Its soft RLIMIT_RTTIME; None when it has none, is gone or can't be seen."""
    try:
        with open(f"/proc/{pid}/limits", "rb", buffering=0) as file:
            text = file.readall()
    except OSError:
        return None
    number = text.partition(b"Max realtime timeout")[2].split(None, 1)[:1]
    return int(number[0]) if number and number[0].isdigit() else None


def cgroup_of(pid: int) -> str:
    """Its cgroup of version 2, as a path; empty when it has none, is gone or can't be seen."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    return next((line[3:] for line in lines if line.startswith("0::")), "")


def variables_of(pid: int) -> dict[bytes, bytes]:
    """The environment that `pid` was executed with; empty when it can't be read."""
    return {name: value for name, _, value in (v.partition(b"=") for v in _environment(pid))}


def _environment(pid: int) -> list[bytes]:
    """Empty when it is gone or can't be read. Root without CAP_SYS_PTRACE (in a container, in a
    unit) reads it as the process's user. Source: ptrace(2), access mode checking.
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
    """Every process, in no particular order."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def signal_process(process: Process, number: int) -> bool:
    """Signal exactly that process, to end it; False when it is gone, or may not be signalled.

    TERM is followed by CONT, as a stopped process handles only KILL.
    """
    stays = number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP)
    return _send(process, (number,) if stays else (number, signal.SIGCONT))


def send_signal(process: Process, number: int) -> bool:
    """Send exactly that process this signal alone; False when it is gone, or may not be
    signalled.
    """
    return _send(process, (number,))


def _send(process: Process, numbers: Iterable[int]) -> bool:
    """Through a pidfd, after checking that it is still the same process: pids wrap within seconds
    on a busy machine.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = look_at(process.pid)
        if now is None or now.started != process.started:
            return False
        for number in numbers:
            signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True

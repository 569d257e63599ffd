"""`python -m service.supervisor STATE_DIR`: become the supervisor of that directory.

Guarantees
1. At most one supervisor serves a directory: it holds `supervisor.lock` for life, and binds under
   it.
2. Starts are serialised by `supervisor.start.lock`, so that nobody takes one that is still starting
   for one that is ending. Who finds another in service leaves at once.
3. What a dead one left is swept away before the socket is there.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import fcntl
import hashlib
import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import service
from service.files.job import JOBS
from service.state_dir import fault
from service.supervisor import upgrade
from service.supervisor.cgroup import Cgroups
from service.supervisor.controllers import Controllers
from service.supervisor.journal import note
from service.supervisor.layout import lay_out
from service.supervisor.serve import serve
from service.supervisor.spawn import reset_dispositions
from service.supervisor.sweep import sweep

_PR_SET_CHILD_SUBREAPER = 36  # Source: prctl(2)
# Seconds until a peer that accepted must have said hello; it says it on accepting.
_HELLO_S = 5.0
# Connections waiting for accept; one per service process is all there are.
_BACKLOG = 128


def main() -> int:
    """Serve until there is nothing left to serve for; the exit status."""
    options = _options()
    if options.can_resume >= 0:
        return 0 if options.can_resume <= upgrade.STATE_VERSION else 1
    state_dir: Path = options.state_dir
    is_new = options.resume_fd < 0
    if is_new and (wrong := fault(state_dir)) is not None:
        print(f"jobrunner: {wrong}", file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    if is_new and not options.stay:
        _leave_parent(state_dir)
    cgroups, controllers = _cgroups(state_dir) if options.cgroup == "auto" else (None, None)
    state: dict[str, Any] | None
    if not is_new:
        state = upgrade.read(options.resume_fd)
        state["upgrades"] = state.get("upgrades", 0) + 1
        try:
            lay_out(state_dir)
        except OSError as exc:
            note("logs_not_moved", error=str(exc))  # and go on as before
        note("supervisor_resumed", pid=os.getpid(), version=service.__version__)
    else:
        state = _begin(state_dir, cgroups, controllers, options.ready_fd)
        if state is None:
            return 0
        if options.soft_limit >= 0:
            state["child_soft"] = options.soft_limit
    listener = upgrade.inherited_listener(state["listener"])
    upgrade.keep(state["lock"])
    while state := asyncio.run(
        serve(listener, state_dir, cgroups, controllers, state, stay=options.stay)
    ):
        arguments = [str(state_dir), "--cgroup", options.cgroup, *(["--stay"] * options.stay)]
        try:
            upgrade.execute(arguments, state)
        except OSError as exc:
            note("upgrade_failed", error=str(exc))  # and go on as before
        listener = upgrade.inherited_listener(state["listener"])
    for kept in (controllers, cgroups):
        if kept is not None:
            kept.close()
    note("supervisor_ended", pid=os.getpid())
    return 0


def _begin(
    state_dir: Path, cgroups: Cgroups | None, controllers: Controllers | None, ready_fd: int
) -> dict[str, Any] | None:
    """Become the one supervisor; its first state, or None when another one serves."""
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    start_lock = _lock(state_dir / "supervisor.start.lock")
    if _is_served(directory):
        note("supervisor_exists", state_dir=state_dir)
        _tell_ready(ready_fd)
        return None
    lock = _lock(state_dir / "supervisor.lock")
    nonce = secrets.token_hex(8)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{nonce} {os.getpid()}\n".encode(), 0)
    reset_dispositions()
    _become_subreaper()
    lay_out(state_dir)
    swept = sweep(state_dir / JOBS)
    swept += sum(kept.sweep() for kept in (cgroups, controllers) if kept is not None)
    listener = _listen(directory)
    os.close(start_lock)
    note("supervisor_started", pid=os.getpid(), nonce=nonce, swept=swept, cgroup=bool(cgroups))
    _tell_ready(ready_fd)
    return {"listener": listener, "lock": lock, "nonce": nonce}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.supervisor")
    parser.add_argument(
        "state_dir", type=Path, nargs="?", default=Path(), help="the service's JOBRUNNER_STATE_DIR"
    )
    parser.add_argument("--stay", action="store_true", help="stay when idle, in the foreground")
    parser.add_argument("--cgroup", choices=("auto", "off"), default="auto")
    for internal in ("--ready-fd", "--resume-fd", "--can-resume", "--soft-limit"):
        parser.add_argument(internal, type=int, default=-1, help=argparse.SUPPRESS)
    return parser.parse_args()


def _leave_parent(state_dir: Path) -> None:
    """A session of its own, no terminal, no working directory that it would hold."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    log = os.open(state_dir / "supervisor.log", flags, 0o600)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)


def _lock(path: Path) -> int:
    """Wait for the lock, and hold it as long as the descriptor that comes back is open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _is_served(directory: int) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_HELLO_S)
        try:
            probe.connect(f"/proc/self/fd/{directory}/supervisor.sock")
            return bool(probe.recv(1))
        except OSError:
            return False


def _listen(directory: int) -> int:
    """Bind below the directory's descriptor: a socket's path ends at 107 bytes."""
    try:
        os.unlink("supervisor.sock", dir_fd=directory)
    except FileNotFoundError:
        note("first_start")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"/proc/self/fd/{directory}/supervisor.sock")
    os.chmod(f"/proc/self/fd/{directory}/supervisor.sock", 0o600)
    listener.listen(_BACKLOG)
    return listener.detach()


def _become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")


def _cgroups(state_dir: Path) -> tuple[Cgroups | None, Controllers]:
    token = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]
    cgroups = None
    try:
        cgroups = Cgroups.open(token)
    except OSError as exc:
        note("no_cgroup", why=str(exc))
    return cgroups, Controllers.open(token, cgroups)


def _tell_ready(descriptor: int) -> None:
    if descriptor >= 0:
        with suppress(BrokenPipeError):  # who started it may have ended since
            os.write(descriptor, b"1")
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())

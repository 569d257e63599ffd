"""`python -m service.supervisor STATE_DIR`: become the supervisor of that directory.

Guarantees
1. At most one supervisor serves a directory: it holds `supervisor.lock` for life, and binds under it.
2. Starts are serialised by `supervisor.start.lock`, so that nobody takes one that is still starting
   for one that is ending. Who finds another in service leaves at once.
3. What a dead one left is swept away before the socket is there.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import fcntl
import functools
import hashlib
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

from service.output.pump import StallTimer
from service.supervisor.cgroup import Cgroups
from service.supervisor.job import Host, Job
from service.supervisor.journal import note
from service.supervisor.reaper import Reaper
from service.supervisor.server import Connection, Server
from service.supervisor.spawn import Descriptors, reset_dispositions
from service.supervisor.sweep import sweep
from service.supervisor.tree import CgroupTree, Tree, WalkTree

_PR_SET_CHILD_SUBREAPER = 36  # Source: prctl(2)
# Seconds until a peer that accepted must have said hello; it says it on accepting.
_HELLO_S = 5.0
# Connections waiting for accept; one per service process is all there are.
_BACKLOG = 128
# Seconds between TERM and KILL when the supervisor itself is told to end.
_SIGNALLED_GRACE_S = 4.0


def main() -> int:
    options = _options()
    state_dir: Path = options.state_dir
    if not options.stay:
        _leave_parent(state_dir)
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    start_lock = _lock(state_dir / "supervisor.start.lock")
    if _is_served(directory):
        note("supervisor_exists", state_dir=state_dir)
        _tell_ready(options.ready_fd)
        return 0
    lock = _lock(state_dir / "supervisor.lock")
    nonce = secrets.token_hex(8)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{nonce} {os.getpid()}\n".encode(), 0)
    reset_dispositions()
    _become_subreaper()
    jobs_directory = state_dir / "jobs"
    jobs_directory.mkdir(mode=0o711, exist_ok=True)
    cgroups = _cgroups(state_dir) if options.cgroup == "auto" else None
    swept = sweep(jobs_directory) + (cgroups.sweep() if cgroups is not None else 0)
    listener = _listen(directory)
    os.close(start_lock)
    note("supervisor_started", pid=os.getpid(), nonce=nonce, swept=swept, cgroup=bool(cgroups))
    _tell_ready(options.ready_fd)
    asyncio.run(_serve(listener, jobs_directory, cgroups, nonce=nonce, stay=options.stay))
    # Closed first: who connects now meets an end of stream before hello, and starts another, which
    # waits for the lock until this process is gone.
    listener.close()
    if cgroups is not None:
        cgroups.close()
    note("supervisor_ended", pid=os.getpid())
    return 0


async def _serve(
    listener: socket.socket,
    jobs_directory: Path,
    cgroups: Cgroups | None,
    *,
    nonce: str,
    stay: bool,
) -> None:
    loop = asyncio.get_running_loop()
    descriptors = Descriptors()
    commands: dict[int, Job] = {}
    sessions: dict[int, str] = {}

    def make_tree(job_id: str) -> Tree:
        if cgroups is not None:
            return CgroupTree(cgroups.make(job_id))
        return WalkTree(job_id, others=lambda: set(commands), sessions=sessions)

    host = Host(
        loop=loop,
        jobs_directory=str(jobs_directory),
        descriptors=descriptors,
        stalls=StallTimer(loop),
        make_tree=make_tree,
        emit=lambda job, name, fields: server.emit(job, name, fields),
        commands=commands,
    )
    server = Server(host, nonce=nonce, stay=stay)

    def died(pid: int, status: int) -> None:
        job = commands.pop(pid, None)
        if job is not None:
            job.reaped(pid, status)

    def look() -> None:
        for job in list(host.watching):
            job.look()

    reaper = Reaper(loop, died, look)
    loop.add_signal_handler(signal.SIGTERM, functools.partial(server.shut_down, _SIGNALLED_GRACE_S))
    for number in (signal.SIGHUP, signal.SIGINT):
        # Handled, not ignored: exec keeps what is ignored.
        loop.add_signal_handler(number, note, "signal_passed_over")
    listening = await loop.create_unix_server(lambda: Connection(server), sock=listener)
    await server.ended
    listening.close()
    reaper.close()
    descriptors.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.supervisor")
    parser.add_argument("state_dir", type=Path, help="the service's JOBRUNNER_STATE_DIR")
    parser.add_argument("--stay", action="store_true", help="stay when idle, in the foreground")
    parser.add_argument("--cgroup", choices=("auto", "off"), default="auto")
    parser.add_argument("--ready-fd", type=int, default=-1, help=argparse.SUPPRESS)
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


def _listen(directory: int) -> socket.socket:
    """Bind below the directory's descriptor: a socket's path ends at 107 bytes."""
    try:
        os.unlink("supervisor.sock", dir_fd=directory)
    except FileNotFoundError:
        note("first_start")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"/proc/self/fd/{directory}/supervisor.sock")
    os.chmod(f"/proc/self/fd/{directory}/supervisor.sock", 0o600)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")


def _cgroups(state_dir: Path) -> Cgroups | None:
    token = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]
    try:
        return Cgroups.open(token)
    except OSError as exc:
        note("no_cgroup", why=str(exc))
        return None


def _tell_ready(descriptor: int) -> None:
    if descriptor >= 0:
        os.write(descriptor, b"1")
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())

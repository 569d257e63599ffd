"""`python -m service.supervisor STATE_DIR`: become the supervisor of that directory.

Guarantees
1. At most one supervisor serves a directory: it holds the locks on `supervisor.lock` and on the
   directory for life, and binds the socket under them.
2. Starts are serialised by `supervisor.start.lock`: there is one candidate at a time. A candidate
   that finds a supervisor in service exits at once.
3. A supervisor that holds the locks and can't be reached gets a signal; when it stays silent, it is
   killed.
4. Processes that a dead supervisor left are killed before the socket exists, but for what jobs
   that were over had kept.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

import service
from service.host import utf8_mode
from service.host.event_log import log_event
from service.host.locks import lock_within, name_in, open_lock
from service.link.incumbent import SILENT_S, Stuck, take_over
from service.paths import StateDir
from service.state_dir import fault
from service.supervisor import signals, upgrade
from service.supervisor.kept.files import KeptFiles, known_of
from service.supervisor.layout import lay_out
from service.supervisor.process.cgroup import Cgroups
from service.supervisor.process.controllers import open_controllers
from service.supervisor.process.dispositions import reset_dispositions
from service.supervisor.process.job_cgroup import Controllers
from service.supervisor.process.marks import mark_of
from service.supervisor.process.orphans import processes_of, reap_orphans
from service.supervisor.serve import Supervisor
from service.supervisor.snapshot import Snapshot, SocketSnapshot
from service.supervisor.socket_file import bind
from service.supervisor.trial import can_follow

_PR_SET_CHILD_SUBREAPER = 36  # Source: prctl(2)
# Seconds that a candidate waits for the one before it: longer than that one may take.
_START_LOCK_S = 60.0


def main() -> int:
    """Serve until there is nothing left to serve for; the exit status."""
    utf8_mode.ensure()
    options = _options()
    if options.can_resume >= 0:
        return 0 if can_follow(options.can_resume, sys.stdin.fileno()) else 1
    state_dir: Path = options.state_dir
    is_new = options.resume_fd < 0
    if is_new and (wrong := fault(state_dir)) is not None:
        print(f"jobrunner: {wrong}", file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    arguments = [str(state_dir), "--cgroup", options.cgroup, *(["--stay"] * options.stay)]
    if not is_new:
        snapshot = _resumed(state_dir, options.resume_fd)
        cgroups, controllers = _cgroups(options.cgroup, snapshot.socket.directory)
    else:
        if not options.stay:
            _leave_parent(state_dir)
        signals.ignore_signals()
        begun = _begin(state_dir, options)
        if begun is None:
            return 0
        snapshot, cgroups, controllers = begun

    async def serve() -> None:
        await Supervisor(
            state_dir, cgroups, controllers, snapshot, arguments, stay=options.stay
        ).run()

    asyncio.run(serve())
    for kept in (controllers, cgroups):
        if kept is not None:
            kept.close()
    log_event("supervisor_ended", pid=os.getpid())
    return 0


def _resumed(state_dir: Path, source: int) -> Snapshot:
    """What the previous image of this process handed over."""
    snapshot = upgrade.resume(source)
    snapshot.upgrades += 1
    try:
        lay_out(state_dir)
    except OSError as exc:
        log_event("logs_not_moved", level="error", error=str(exc))  # and go on as before
    log_event("supervisor_resumed", pid=os.getpid(), version=service.__version__)
    return snapshot


def _begin(
    state_dir: Path, options: argparse.Namespace
) -> tuple[Snapshot, Cgroups | None, Controllers | None] | None:
    """Become the one supervisor; its first snapshot, or None when another one serves."""
    directory = _open(state_dir)
    start_lock = options.start_lock
    if start_lock < 0:
        start_lock = open_lock(StateDir(state_dir).start_lock)
        if not lock_within(start_lock, _START_LOCK_S):
            raise SystemExit("another supervisor is being started, and does not get ready")
    os.set_inheritable(start_lock, False)  # noqa: FBT003 - os takes it by position only
    name_in(start_lock, str(os.getpid()))
    try:
        lock = take_over(state_dir, directory, silent_s=options.silent_s)
    except Stuck as exc:
        log_event("supervisor_stuck", level="error", why=str(exc))
        raise SystemExit(1) from exc
    if lock is None:
        log_event("supervisor_exists", state_dir=state_dir)
        _tell_ready(options.ready_fd)
        return None
    nonce = secrets.token_hex(8)
    name_in(lock, f"{nonce} {os.getpid()}")
    reset_dispositions()
    _become_subreaper()
    lay_out(state_dir)
    cgroups, controllers = _cgroups(options.cgroup, directory)
    swept = _sweep(state_dir, mark_of(directory), cgroups, controllers)
    listener, file = bind(directory)
    files = SocketSnapshot(listener=listener, file=file, lock=lock, directory=directory)
    child_soft = options.soft_limit if options.soft_limit >= 0 else None
    name_in(start_lock, "")  # no candidate any more
    os.close(start_lock)
    log_event("supervisor_started", pid=os.getpid(), nonce=nonce, swept=swept, cgroup=bool(cgroups))
    _tell_ready(options.ready_fd)
    return Snapshot(nonce=nonce, socket=files, child_soft=child_soft), cgroups, controllers


def _sweep(
    state_dir: Path, mark: str, cgroups: Cgroups | None, controllers: Controllers | None
) -> int:
    """Kill what a dead supervisor left, but for what is kept; how much was found."""
    files = KeptFiles(state_dir)
    kept = known_of(files.living())
    swept = reap_orphans(StateDir(state_dir).jobs, mark, kept)
    for job_id, processes in list(kept.items()):
        if not processes_of({job_id: processes}, mark):
            del kept[job_id]
            files.remove(job_id)
    return swept + sum(
        each.reap_orphans(kept.keys()) for each in (cgroups, controllers) if each is not None
    )


def _open(state_dir: Path) -> int:
    return os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.supervisor")
    parser.add_argument(
        "state_dir", type=Path, nargs="?", default=Path(), help="the service's JOBRUNNER_STATE_DIR"
    )
    parser.add_argument("--stay", action="store_true", help="stay when idle, in the foreground")
    parser.add_argument("--cgroup", choices=("auto", "off"), default="auto")
    for internal in ("--ready-fd", "--resume-fd", "--can-resume", "--soft-limit", "--start-lock"):
        parser.add_argument(internal, type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--silent-s", type=float, default=SILENT_S, help=argparse.SUPPRESS)
    return parser.parse_args()


def _leave_parent(state_dir: Path) -> None:
    """A session of its own, no terminal, no working directory that it would hold."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    log = os.open(StateDir(state_dir).supervisor_log, flags, 0o600)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)


def _become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")


def _cgroups(wanted: str, directory: int) -> tuple[Cgroups | None, Controllers | None]:
    """The cgroups of jobs, named for the state directory, which is open as `directory`."""
    if wanted == "off":
        return None, None
    token = mark_of(directory)
    cgroups = None
    try:
        cgroups = Cgroups.open(token)
    except OSError as exc:
        log_event("no_cgroup", why=str(exc))
    return cgroups, open_controllers(token, cgroups)


def _tell_ready(descriptor: int) -> None:
    if descriptor >= 0:
        with suppress(BrokenPipeError):  # who started it may have ended since
            os.write(descriptor, b"1")
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())

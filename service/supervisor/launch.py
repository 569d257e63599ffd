"""Finding the supervisor of a state directory, or starting it.

Whichever service process finds none starts one. Many may do so at the same moment: each one started
finds out under a lock whether another serves already, and only one stays.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.supervisor.client import ConnectionLost, SupervisorConnection
from service.supervisor.protocol import Message

# Seconds for a supervisor to start, sweeping included.
_START_S: Final = 30.0
# The soft limit on descriptors that commands get: the one this process was started with. Workers
# raise their own later, and the supervisor would inherit that.
_SOFT_LIMIT: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
# An ending supervisor and the start of the next can meet more than once; not this often.
_ATTEMPTS: Final = 5


class SupervisorFailed(Exception):
    """No supervisor could be reached or started; the message says where to look."""


async def connect_or_start(
    state_dir: Path,
    *,
    cgroup: str,
    on_messages: Callable[[list[Message]], None],
    on_lost: Callable[[SupervisorConnection], None],
) -> tuple[SupervisorConnection, Message]:
    """A connection to the supervisor of `state_dir`, which is started when there is none.

    Raises: SupervisorFailed.
    """
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise SupervisorFailed(f"{state_dir} can't be opened: {exc}") from exc
    try:
        for _ in range(_ATTEMPTS):
            try:
                return await SupervisorConnection.open(directory, on_messages, on_lost)
            except (OSError, ConnectionLost):
                await asyncio.to_thread(start, state_dir, cgroup=cgroup)
    finally:
        os.close(directory)
    raise SupervisorFailed(f"the supervisor of {state_dir} ended {_ATTEMPTS} times in a row")


def start(state_dir: Path, *, cgroup: str) -> None:
    """Start a supervisor and wait until it serves, or has found another that does. Blocks.

    Raises: SupervisorFailed.
    """
    Starting(state_dir, cgroup=cgroup).wait()


class Starting:
    """A supervisor that was just started. `wait` may be called once; who never calls it leaves the
    supervisor to itself.
    """

    def __init__(self, state_dir: Path, *, cgroup: str) -> None:
        """Raises: SupervisorFailed."""
        self._log = state_dir / "supervisor.log"
        with _told():
            self._ours, theirs = os.pipe2(os.O_CLOEXEC)
            arguments = [str(state_dir), "--cgroup", cgroup, "--ready-fd", str(theirs)]
            arguments += ["--soft-limit", str(_SOFT_LIMIT)]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "service.supervisor", *arguments],
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs,),
                    env=_environment(),
                )
            except BaseException:
                os.close(self._ours)
                raise
            finally:
                os.close(theirs)

    def wait(self) -> None:
        """Until it serves, or has found another that does. Blocks. Raises: SupervisorFailed."""
        with _told():
            try:
                # The pipe first: a process can only be waited for by looking again and again, and
                # the one that was started has forked and left before the word comes.
                poller = select.poll()
                poller.register(self._ours, select.POLLIN)
                is_ready = bool(poller.poll(_START_S * 1000)) and os.read(self._ours, 1) == b"1"
                self._process.wait(_START_S)
            finally:
                os.close(self._ours)
        if not is_ready:
            raise SupervisorFailed(f"the supervisor did not start; {self._log} says why")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise SupervisorFailed(f"the supervisor could not be started: {exc}") from exc


def _environment() -> dict[str, str] | None:
    """None (this process's own), unless this package is imported from where no installation is:
    then the supervisor, which starts in `/`, is told where.
    """
    root = Path(__file__).resolve().parents[2]
    if root in {Path(p).resolve() for p in sysconfig.get_paths().values()}:
        return None
    environment = dict(os.environ)  # noqa: TID251 - passed on as it is, nothing is read from it
    others = environment.get("PYTHONPATH", "")
    environment["PYTHONPATH"] = f"{root}{os.pathsep}{others}" if others else str(root)
    return environment

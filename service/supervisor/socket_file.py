"""The socket that service processes connect to, as it stands in the state directory.

It is bound under another name and renamed, so that the path always leads to a socket, whatever
stood there. A path of a socket ends at 107 bytes: it is bound below the directory's descriptor.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from service.host.event_log import log_event
from service.host.locks import is_in_place, name_in, open_lock, try_lock
from service.paths import SUPERVISOR_SOCKET, StateDir
from service.supervisor.snapshot import Snapshot, SocketSnapshot

# Connections waiting for accept; one per service process is all there are.
_BACKLOG: Final = 128


def bind(directory: int) -> tuple[int, tuple[int, int]]:
    """A listening socket at its place, and what tells its file. Raises: OSError."""
    path = f"/proc/self/fd/{directory}/{SUPERVISOR_SOCKET}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        for name in os.listdir(directory):
            if name == f"{SUPERVISOR_SOCKET}.new":  # of one that was killed just here
                os.unlink(name, dir_fd=directory)
        listener.bind(f"{path}.new")
        os.chmod(f"{path}.new", 0o600)
        listener.listen(_BACKLOG)
        if _is_directory(path):
            os.rename(path, f"{path}.found-{os.getpid()}")
        os.rename(f"{path}.new", path)
        found = os.stat(path)
    except BaseException:
        listener.close()
        raise
    return listener.detach(), (found.st_dev, found.st_ino)


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


class SocketFile:
    """Accepts connections on the socket, and puts it back, and the lock file, when they were taken
    away.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, state_dir: Path, snapshot: Snapshot
    ) -> None:
        self._loop = loop
        self._lock_path = StateDir(state_dir).supervisor_lock
        self._directory = snapshot.socket.directory
        self._lock = snapshot.socket.lock
        self._nonce = snapshot.nonce
        self._file = snapshot.socket.file
        self._listener = _socket_of(snapshot.socket.listener)
        self._server: asyncio.Server | None = None
        self._make: Callable[[], asyncio.BaseProtocol] | None = None
        self._serving: asyncio.Task[None] | None = None

    def snapshot(self) -> SocketSnapshot:
        """For the next image of this process. Changes nothing."""
        return SocketSnapshot(
            listener=self._listener.fileno(),
            file=self._file,
            lock=self._lock,
            directory=self._directory,
        )

    async def serve(self, make: Callable[[], asyncio.BaseProtocol]) -> None:
        """Begin to accept. `make`: a protocol for each connection."""
        self._make = make
        # From 3.13 on asyncio removes the file with the server: one that was bound anew, or a
        # successor's, stands at the path by then.
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        before = self._server
        self._server = await self._loop.create_unix_server(make, sock=self._listener, **keep)
        if before is not None:
            before.close()

    def look(self) -> None:
        """See that both files are there and ours; somebody can't find us."""
        try:
            self._put_lock_back()
            if not self._is_bound():
                listener, self._file = bind(self._directory)
                self._listener = _socket_of(listener)
                log_event("socket_bound_again", file=self._file)
                if self._make is not None:
                    self._serving = self._loop.create_task(self.serve(self._make))
        except OSError as exc:
            log_event("socket_not_bound", level="error", error=str(exc))

    def close(self) -> None:
        """Accept nobody any more."""
        if self._server is not None:
            self._server.close()
        self._listener.close()

    def _is_bound(self) -> bool:
        try:
            found = os.stat(SUPERVISOR_SOCKET, dir_fd=self._directory, follow_symlinks=False)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def _put_lock_back(self) -> None:
        if is_in_place(self._lock_path, self._lock):
            return
        lock = open_lock(self._lock_path)
        if not try_lock(lock):
            os.close(lock)  # the candidate that is just looking; it calls again
            return
        name_in(lock, f"{self._nonce} {os.getpid()}")
        os.close(self._lock)
        self._lock = lock
        log_event("lock_file_made_again")


def _socket_of(descriptor: int) -> socket.socket:
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)  # noqa: FBT003 - socket takes it by position only
    return listener

"""A Unix socket that the service listens on: its file, who may connect, and who has connected.

1. At no moment may anybody connect who may not afterwards: the file is made for its owner alone,
   and then given to the group and the mode that were asked for.
2. What a dead service left there is replaced. A socket at which somebody listens is not, and
   neither is what isn't a socket.
3. Two services that start at the same path at once: one of them fails. Each looks, once it listens,
   whether the file is still its own; and what it takes for dead it moves aside first, and asks
   again there.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from service.settings.readers import MAX_SOCKET_PATH_BYTES

_PRIVATE: Final = 0o600
# Pid, uid, gid. Source: unix(7), SO_PEERCRED.
_CREDENTIALS: Final = struct.Struct("iII")


class CannotListen(Exception):
    """The message is a sentence for the operator."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"can't listen on {where}: {why}")


class WrongGroup(CannotListen):
    """Another start would fail, too."""


class UnixSocket(msgspec.Struct, frozen=True):
    """A socket that listens, and its file, which is its own as long as it has `identity`."""

    path: Path
    listener: socket.socket
    identity: tuple[int, int]

    def close(self) -> None:
        """Listen no more, in this process, and remove the file. May be called again."""
        self.listener.close()
        with suppress(OSError):
            if _identity(self.path) == self.identity:
                self.path.unlink()


def peer_uid(connected: Any) -> int:
    """The user of the process that connected, when it did. `connected` is asyncio's socket."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


def listen(path: Path, *, mode: int, group: int | None, backlog: int) -> UnixSocket:
    """Raises: CannotListen."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise CannotListen(
            repr(str(path)), f"a path of a Unix socket has at most {MAX_SOCKET_PATH_BYTES} bytes."
        )
    if not path.parent.is_dir():
        raise CannotListen(repr(str(path)), f"there is no directory {str(path.parent)!r}.")
    listener = socket.socket(socket.AF_UNIX)
    bound = None
    try:
        # The file gets the mode that its socket has. A umask would be the whole process's.
        os.fchmod(listener.fileno(), _PRIVATE)
        _bind(listener, path)
        bound = UnixSocket(path, listener, _identity(path))
        _give(path, mode, group)
        listener.listen(backlog)
        if _identity(path) != bound.identity:
            raise _is_anothers(path)
    except OSError as exc:
        _undo(listener, bound)
        raise CannotListen(repr(str(path)), f"{os.strerror(exc.errno or 0)}.") from exc
    except BaseException:
        _undo(listener, bound)
        raise
    return bound


def _undo(listener: socket.socket, bound: UnixSocket | None) -> None:
    if bound is None:
        listener.close()
    else:
        bound.close()


def _bind(listener: socket.socket, path: Path) -> None:
    """Raises: CannotListen; OSError."""
    try:
        listener.bind(str(path))
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        _remove_dead(path)
        listener.bind(str(path))


def _give(path: Path, mode: int, group: int | None) -> None:
    """Raises: CannotListen, when the group can't be given the socket; OSError."""
    try:
        if group is not None:
            os.chown(path, -1, group)
    except OSError as exc:
        raise WrongGroup(
            repr(str(path)),
            "the group of JOBRUNNER_SOCKET_GROUP can't be given the socket:"
            f" {os.strerror(exc.errno or 0)}. A service that isn't root needs to be in it.",
        ) from exc
    os.chmod(path, mode)


def _remove_dead(path: Path) -> None:
    """Raises: CannotListen, when it isn't a dead socket; OSError."""
    try:
        found = path.lstat()
    except FileNotFoundError:  # removed meanwhile
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise CannotListen(repr(str(path)), "there is a file that is no socket.")
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        # However long the path is, this is one of few bytes.
        below = f"/proc/self/fd/{directory}"
        aside = f"{below}/.{secrets.token_hex(8)}"
        if _has_listener(str(path)):
            raise _is_anothers(path)
        os.rename(path, aside)
        if _has_listener(aside):
            os.link(aside, path)
            os.unlink(aside)
            raise _is_anothers(path)
        os.unlink(aside)
    finally:
        os.close(directory)


def _has_listener(path: str) -> bool:
    """Raises: OSError, when that can't be told."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # noqa: FBT003 - socket takes it by position only
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:  # others wait to be accepted
            return True
        return True


def _is_anothers(path: Path) -> CannotListen:
    return CannotListen(repr(str(path)), "another service listens there.")


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino

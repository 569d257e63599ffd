"""The SHA-256 of a log: made by those who read it, never by the one who writes.

It is computed in steps, in threads, while the log is read, so that little is left to do at the end.
Once a log is closed its digest is kept in a file beside it, in the format of sha256sum(1). That
file may be lost or damaged: then the digest is computed again.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from service.files.regular import open_regular
from service.output.files import OUTPUT_NAME

if TYPE_CHECKING:
    from service.output.reader import LogReader

__all__ = ["DIGEST_NAME", "EMPTY", "STEP_BYTES", "LogDigest", "keep", "kept"]

DIGEST_NAME = "output.sha256"

STEP_BYTES = 16 * 1024 * 1024
"""The most that is hashed at once: about 20 ms of a thread that others wait for."""

EMPTY = hashlib.sha256().hexdigest()
"""That of no bytes."""

_BLOCK_BYTES = 256 * 1024
_LINE = re.compile(rb"([0-9a-f]{64})  " + OUTPUT_NAME.encode() + rb"\n")


class LogDigest:
    """The digest of a log up to `offset`. `advance` is called by one thread at a time."""

    __slots__ = ("_hash", "offset")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.offset = 0

    def advance(self, reader: LogReader, end: int) -> None:
        """Go on to `end`, or one step. Raises: CorruptLog, when the file is shorter."""
        end = min(end, self.offset + STEP_BYTES)
        buffer = memoryview(bytearray(min(_BLOCK_BYTES, end - self.offset)))
        while self.offset < end:
            count = reader.read_into(buffer[: end - self.offset], self.offset)
            self._hash.update(buffer[:count])
            self.offset += count

    def hex(self) -> str:
        """Of the bytes up to `offset`."""
        return self._hash.hexdigest()


def kept(directory: str | os.PathLike[str]) -> str | None:
    """The digest that was kept for the log in `directory`, if any."""
    try:
        fd = open_regular(os.path.join(directory, DIGEST_NAME), os.O_RDONLY)
    except OSError:
        return None
    try:
        found = _LINE.fullmatch(os.read(fd, 200))
    except OSError:
        return None
    finally:
        os.close(fd)
    return found[1].decode() if found else None


def keep(directory: str | os.PathLike[str], digest: str) -> None:
    """Keep the digest of the closed log in `directory`. Does nothing where there is no room for it,
    or no directory any more.
    """
    path = os.path.join(directory, DIGEST_NAME)
    temporary = f"{path}.{os.getpid()}"
    with suppress(OSError):
        fd = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(fd, f"{digest}  {OUTPUT_NAME}\n".encode())
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
        finally:
            os.close(fd)

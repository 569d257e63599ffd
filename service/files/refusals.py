"""From an OSError about a file of a job to the error that its caller is told."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from service.errors import (
    DirectoryNotEmpty,
    FileBusy,
    FileForbidden,
    InsufficientStorage,
    JobrunnerError,
    UnknownFile,
    WrongFileType,
)
from service.files.names import shown

_OUT: Final = (FileForbidden, "{name} leads out of the directory of the job.")
_DENIED: Final = (FileForbidden, "The user of the job may not do that with {name}: {why}.")
_FULL: Final = (DirectoryNotEmpty, "{name} is a directory that isn't empty.")
_NO_ROOM: Final = (InsufficientStorage, "{name}: {why}.")
_TOLD: Final[dict[int, tuple[Callable[[str], JobrunnerError], str]]] = {
    errno.EXDEV: _OUT,
    errno.ELOOP: _OUT,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _DENIED,
    errno.ENOTDIR: (WrongFileType, "{name}, or a part of it, isn't a directory."),
    errno.EISDIR: (WrongFileType, "{name} is a directory."),
    errno.EINVAL: (WrongFileType, "{name} is neither a regular file nor a directory."),
    errno.ENOTEMPTY: _FULL,
    errno.EEXIST: _FULL,
    errno.ENAMETOOLONG: (FileForbidden, "{name} is longer than the file system takes."),
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,
}


@contextmanager
def told(path: bytes) -> Iterator[None]:
    """Within the block an OSError about `path` becomes an error of the service. The descriptors of
    this process are no matter of the file: EMFILE and ENFILE stay.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            raise
        raise refusal(exc, path) from exc


def refusal(error: OSError, path: bytes) -> JobrunnerError:
    """What a caller is told of `error`, which came with that path."""
    name, number = repr(shown(path)[:200]), error.errno or 0
    if number == errno.ENOENT:
        return UnknownFile(shown(path))
    kind, words = _TOLD.get(number, (FileBusy, "{name} can't be reached now: {why}."))
    return kind(words.format(name=name, why=os.strerror(number)))

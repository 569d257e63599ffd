"""The names of a log's two files, and how each is opened."""

from __future__ import annotations

import os

from service.files.regular import open_regular

__all__ = ["CHUNK_BYTES", "INDEX_NAME", "OUTPUT_NAME", "READ_BYTES", "Directory", "open_in"]

OUTPUT_NAME = "output"
INDEX_NAME = "runs"

CHUNK_BYTES = 256 * 1024
"""The most that is moved at once: more would delay other jobs, and gain nothing."""

READ_BYTES = 128 * 1024
"""The most that is read at once: it is still in the processor's cache when it is sent. With twice
as much a replay was slower by a tenth to a fifth."""

Directory = int | str | os.PathLike[str]
"""A directory: its path, or an open descriptor of it, which the caller keeps."""

_MODE = 0o600


def open_in(directory: Directory, name: str, flags: int) -> int:
    """Opens a file of the log in `directory`, close-on-exec.

    Raises:
        NotRegular: it is no regular file.
    """
    if isinstance(directory, int):
        return open_regular(name, flags, _MODE, dir_fd=directory)
    return open_regular(os.path.join(directory, name), flags, _MODE)

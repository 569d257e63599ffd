"""Removing a file of a job, or a directory with all that is in it, as the job's user."""

from __future__ import annotations

import os
import stat
import time
from typing import Final

from service.files.place import Place, open_parent
from service.files.removal import remove
from service.files.walk import OutOfTime

# Seconds for one request; it can be sent again. Somebody who goes on making files keeps nobody
# longer.
_MOST_S: Final = 30.0

__all__ = ["OutOfTime", "delete"]


def delete(place: Place, path: bytes, *, recursive: bool) -> None:
    """Remove what is at `path`; a link, not what it leads to.

    Raises: OutOfTime, when there is more than there was time for; OSError: ENOTEMPTY for a
        directory that isn't empty, unless `recursive`.
    """
    with place.acting() as top:
        parent, name = open_parent(top, path)
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                os.unlink(name, dir_fd=parent)
            elif recursive:
                ends_at = time.monotonic() + _MOST_S
                remove(parent, name, is_over=lambda: time.monotonic() > ends_at)
            else:
                os.rmdir(name, dir_fd=parent)
        finally:
            os.close(parent)

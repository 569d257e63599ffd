"""Descriptors 0, 1 and 2, open whatever this process was started with.

A shell closes them by `2>&-`. The next file or connection that is opened would have the number, and
get what is written to standard error. Source: ssh and Go's runtime open /dev/null there, too.
"""

from __future__ import annotations

import os
import sys


def ensure() -> None:
    """Open those that are closed on /dev/null. Called before anything else is opened."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - os's own
    # Python has no files for those that it found closed.
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the whole process
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - the same
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - the same

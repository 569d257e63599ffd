"""Standard output that can't be written: one line on standard error and status 125; nothing, and
the status of SIGPIPE, when nobody reads it. Also for commands that work without click.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from service.cli.notes import note

# Written out: this is loaded before Ctrl-C has a meaning, so it loads little.
_FAILED: Final = 125
_NOBODY_READS: Final = 128 + signal.SIGPIPE

_NAMES: Final = {1: "Standard output", 2: "Standard error"}


class CannotWrite(Exception):
    """No OSError: those are failures of files and connections, and click has an end of its own for
    a closed pipe.
    """

    def __init__(self, descriptor: int, cause: OSError) -> None:
        self.nobody_reads = cause.errno == errno.EPIPE
        super().__init__(f"{_NAMES[descriptor]} can't be written: {cause.strerror}.")


class _Descriptor(io.FileIO):
    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as exc:
            raise CannotWrite(self.fileno(), exc) from exc


def name_failures() -> None:
    """From now on what can't be printed is a `CannotWrite`."""
    before = sys.stdout
    assert isinstance(before, io.TextIOWrapper)  # noqa: S101 - as Python has opened it
    raw = _Descriptor(before.fileno(), "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        raw if before.write_through else io.BufferedWriter(raw),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )


def ending(command: Callable[[], int]) -> int:
    """The exit status of `command`, all of whose output is written."""
    try:
        try:
            status = command()
        except SystemExit as ended:  # of a parser that printed its help
            if not isinstance(ended.code, int):
                raise
            status = ended.code
        sys.stdout.flush()
    except CannotWrite as exc:
        _discard()
        if exc.nobody_reads:
            return _NOBODY_READS
        note(str(exc))
        return _FAILED
    return status


def _discard() -> None:
    """Nothing is left to flush at the exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)

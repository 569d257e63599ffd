"""A job's output onto this process's own: byte for byte, each stream onto its descriptor."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from service.cli.interrupts import Interrupted, Interrupts
from service.cli.notes import note
from service.client.results import Gap, Record
from service.client.sync_client import Job

DESCRIPTORS: Final = {"stdout": 1, "stderr": 2}
"""Where each stream goes."""


class Copy:
    """From `offset` on. `offset` is then where another reader continues.

    The job has ended when `to_end` returns. Ctrl-C calls `on_interrupt` with how often it was
    typed; what that raises ends the copy.
    """

    def __init__(self, job: Job, offset: int, interrupts: Interrupts) -> None:
        self.offset = offset
        self._job = job
        self._interrupts = interrupts

    def to_end(self, on_interrupt: Callable[[int], None]) -> None:
        """Raises: BrokenPipeError, when nobody reads any more; what the client raises."""
        while True:
            try:
                self._read()
            except Interrupted:
                self._tell(on_interrupt)
            else:
                return

    def _read(self) -> None:
        # A new reader after each interrupt: what it had taken, and not given, is asked for again.
        with self._job.records(offset=self.offset) as reading:
            while True:
                with self._interrupts.let_in():
                    record = next(reading, None)
                if record is None:
                    return
                self._write(record)

    def _write(self, record: Record | Gap) -> None:
        if isinstance(record, Gap):
            note_of(record)
        else:
            write(DESCRIPTORS[record.stream], record.data)
        self.offset = record.end

    def _tell(self, on_interrupt: Callable[[int], None]) -> None:
        """Also of those that come while it is told."""
        while True:
            with suppress(Interrupted):
                with self._interrupts.let_in():
                    on_interrupt(self._interrupts.count)
                return


def note_of(gap: Gap) -> None:
    """In the place of what isn't there."""
    note(f"{gap.end - gap.start} bytes of output were dropped (OutputLimit).")


def write(descriptor: int, data: bytes) -> None:
    """All of it, also where another process has made the descriptor non-blocking."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select((), (descriptor,), ())

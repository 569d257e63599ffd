"""A job's output onto this process's own: byte for byte, each stream onto its descriptor."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from functools import partial
from typing import Final

from service.cli.interrupts import Interrupted, Interrupts
from service.cli.notes import note
from service.cli.standard_output import CannotWrite
from service.client.failures import UnexpectedAnswer
from service.client.results import Gap, Record
from service.client.sync_client import Job
from service.errors import JobrunnerError

DESCRIPTORS: Final = {"stdout": 1, "stderr": 2}
"""Where each stream goes."""
BROKEN_OFF: Final = (JobrunnerError, UnexpectedAnswer, CannotWrite, OSError)
"""What ends a copy before the job."""


class Copy:
    """From `offset` on. `offset` is then where another reader continues, also inside a record.

    The job has ended when `to_end` returns. Ctrl-C calls `on_interrupt` with how often it was
    typed, also while nobody reads what is written; what that raises ends the copy.
    """

    def __init__(
        self, job: Job, offset: int, interrupts: Interrupts, on_interrupt: Callable[[int], None]
    ) -> None:
        self.job = job
        self.offset = offset
        self._interrupts = interrupts
        self._on_interrupt = on_interrupt

    @property
    def to_go_on(self) -> str:
        """The command that shows what comes next."""
        return f"jobrunner attach --offset {self.offset} {self.job.id}"

    def to_end(self) -> None:
        """Raises: CannotWrite; what the client raises."""
        while True:
            try:
                self._read()
            except Interrupted:
                self._interrupts.tell(self._on_interrupt)
            else:
                return

    def _read(self) -> None:
        # A new reader after each interrupt: what it had taken, and not given, is asked for again.
        with self.job.records(offset=self.offset) as reading:
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
            descriptor, left = DESCRIPTORS[record.stream], memoryview(record.data)
            while left:
                self._interrupts.until(partial(wait_writable, descriptor), self._on_interrupt)
                written = _write_some(descriptor, left)
                left = left[written:]
                self.offset += written
        self.offset = record.end


def note_of(gap: Gap) -> None:
    """In the place of what isn't there."""
    note(f"{gap.end - gap.start} bytes of output were dropped (OutputLimit).")


def write(descriptor: int, data: bytes) -> None:
    """All of it, also where another process has made the descriptor non-blocking."""
    left = memoryview(data)
    while left:
        wait_writable(descriptor)
        left = left[_write_some(descriptor, left) :]


def wait_writable(descriptor: int) -> None:
    """Return when a piece can be written: nothing has been when a signal breaks into this."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    poller.poll()


def _write_some(descriptor: int, data: memoryview) -> int:
    """How many bytes of `data` were written, without a wait for a reader."""
    piece = data if stat.S_ISREG(os.fstat(descriptor).st_mode) else data[: select.PIPE_BUF]
    try:
        return os.write(descriptor, piece)
    except BlockingIOError:  # another process was faster
        return 0
    except OSError as exc:
        raise CannotWrite(descriptor, exc) from exc

"""A job's terminal in this one: keys go in, output comes out, and both have the same size.

Output is read as `attach` reads it, from an offset, and goes on there over any cut. Keys go by
`Job.send`, each piece at the offset where it belongs, so that a cut neither loses nor repeats one:
a message over a WebSocket has no answer that would tell. What is typed while a piece is under way
goes with the next one, so a slow line costs round trips, not requests for each key.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Final, Self

from service.cli import local_terminal
from service.cli.detaching import DetachKeys
from service.cli.interrupts import Interrupts
from service.cli.local_terminal import STDIN
from service.cli.notes import note
from service.cli.output import Copy
from service.client.failures import ClientClosed, ServiceUnreachable, UnexpectedAnswer
from service.client.sync_client import Job
from service.errors import InputClosed, InputOffset, JobNotRunning, JobrunnerError
from service.jobs.views import JobView

_READ_BYTES: Final = 64 << 10
_OVER: Final = (InputClosed, JobNotRunning, ClientClosed)
_FAILED: Final = (JobrunnerError, ServiceUnreachable, UnexpectedAnswer, OSError)


class Detached(Exception):
    """The keys that leave were typed, or this command was interrupted."""


class TerminalSession:
    """Of one job, from its output at `offset` on."""

    def __init__(self, job: Job, offset: int, keys: bytes) -> None:
        self._job = job
        self._keys = DetachKeys(keys)
        self._interrupts = Interrupts()
        self._copy = Copy(job, offset, self._interrupts, self._leave)

    def to_end(self) -> JobView:
        """The job once it has ended. Raises: Detached; what the client raises."""
        try:
            with local_terminal.RawTerminal(), self._interrupts, _Sizes(self._job):
                threading.Thread(target=self._type, daemon=True).start()
                self._copy.to_end()
                return self._interrupts.until(self._job.wait, self._leave)
        except KeyboardInterrupt:
            raise Detached from None

    @property
    def to_go_on(self) -> str:
        """The command that shows what comes next."""
        return self._copy.to_go_on

    def _leave(self, _count: int) -> None:
        raise KeyboardInterrupt

    def _type(self) -> None:
        """In a thread of its own: pass on what is typed."""
        send = _Keys(self._job)
        while data := os.read(STDIN, _READ_BYTES):
            passed, leaves = self._keys.typed(data)
            if passed:
                send(passed)
            if leaves:
                break
        # Nobody types any more: the main thread may be in a read.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class _Keys:
    """Sends keys while that is possible; afterwards only those that leave mean something."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._offset: int | None = None
        self._is_over = False

    def __call__(self, data: bytes) -> None:
        if self._is_over:
            return
        try:
            try:
                self._offset = self._job.send(data, offset=self._offset)
            except InputOffset:  # somebody else types, too
                self._offset = self._job.send(data)
        except _OVER:
            self._is_over = True
        except _FAILED as exc:
            self._is_over = True
            note(f"The job gets no more keys: {exc}")


class _Sizes:
    """Gives the job's terminal the size of this one, now and whenever that changes."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._changed = threading.Event()

    def __enter__(self) -> Self:
        self._changed.set()
        self._before = signal.signal(signal.SIGWINCH, self._came)
        threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGWINCH, self._before)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self._changed.set()

    def _follow(self) -> None:
        while self._changed.wait():
            self._changed.clear()
            if (size := local_terminal.size()) is None:
                continue
            try:
                self._job.resize(*size)
            except _OVER:
                return
            except _FAILED as exc:
                note(f"The job's terminal keeps its size: {exc}")
                return

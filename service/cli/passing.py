"""This command's own standard input, passed on to a job's: each byte once, and its end."""

from __future__ import annotations

import os
import select
import threading
from typing import Final

from service.cli.notes import note
from service.client.failures import ClientClosed, ServiceUnreachable, UnexpectedAnswer
from service.client.sync_client import Job
from service.errors import InputClosed, JobrunnerError

_STDIN: Final = 0
# Bytes of one read: what a pipe holds.
_READ_BYTES: Final = 64 << 10


def pass_on(job: Job, *, eof: bool, skip: bool = False) -> None:
    """All of it, as it comes, and with `eof` that it has ended. With `skip` the bytes that the job
    has taken are the first of it: an earlier command sent them.

    Raises: what `Job.send` does.
    """
    offset, is_empty = job.send(b""), True
    if skip:
        _skip(offset)
    while data := _read(_READ_BYTES):
        offset, is_empty = job.send(data, offset=offset), False
    if eof:
        job.send(b"", offset=None if is_empty else offset, eof=True)


def pass_on_meanwhile(job: Job) -> None:
    """The same in a thread, until the job reads no more, or this process ends."""
    threading.Thread(target=_pass_on, args=(job,), daemon=True).start()


def _pass_on(job: Job) -> None:
    try:
        pass_on(job, eof=True, skip=True)
    except (InputClosed, ClientClosed):
        pass  # as a pipe that nobody reads: it is no error of the job's
    except (JobrunnerError, ServiceUnreachable, UnexpectedAnswer, OSError) as exc:
        note(f"The job gets no more input: {exc}")


def _skip(count: int) -> None:
    while count and (data := _read(min(count, _READ_BYTES))):
        count -= len(data)


def _read(count: int) -> bytes:
    """What is there, b"" at the end; also where another process has made it non-blocking."""
    while True:
        try:
            return os.read(_STDIN, count)
        except BlockingIOError:
            poller = select.poll()
            poller.register(_STDIN, select.POLLIN)
            poller.poll()

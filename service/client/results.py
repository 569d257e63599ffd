"""What the client returns beside the views of the service."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from service.jobs.views import JobView, KillView

Receipt: TypeAlias = KillView
"""The proof of a kill: which signals were sent, and whether all processes were seen gone."""


class OutputBytes(bytes):
    r"""Bytes of output.

    >>> OutputBytes(b"na\xc3\xafve \xff").text
    'naïve �'
    """

    __slots__ = ()

    @property
    def text(self) -> str:
        """As text; what isn't UTF-8 is replaced."""
        return self.decode(errors="replace")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    r"""A job that has ended, with its output.

    `exit_code` is None where there is none: a signal ended it, or it couldn't be started; then
    `job` says more. Where output was dropped (`OutputLimit`), a line stands in its place.

    >>> result = client.run("echo hello; exit 3")
    >>> result.ok, result.ending, result.stdout.text
    (False, 'exited with 3', 'hello\n')
    """

    exit_code: int | None
    stdout: OutputBytes
    stderr: OutputBytes
    job: JobView

    @property
    def ok(self) -> bool:
        """It exited with 0."""
        return self.exit_code == 0 and self.job.state == "exited"

    @property
    def ending(self) -> str:
        """How it ended, as part of a sentence."""
        job = self.job
        if job.error is not None:
            return f"couldn't be run: {job.error.rstrip('.')}"
        if job.state == "killed":
            return f"was killed ({job.reason})"
        if job.signal is not None:
            return f"was ended by {job.signal}"
        return f"exited with {self.exit_code}"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    r"""A piece of output: the bytes from `offset` to before `end`, of one stream of one command.

    `time` is when it came (RFC 3339, UTC, nanoseconds). With `lines` it is a line, without its
    newline; `is_partial`: one that has no end, or a piece of one that is longer than 64 KiB.

    >>> record = next(job.records())
    >>> record.offset, record.end, record.stream, record.command, record.data
    (0, 6, 'stdout', 0, b'hello\n')
    """

    offset: int
    end: int
    stream: str
    command: int
    time: str
    data: OutputBytes
    is_partial: bool = False

    @property
    def text(self) -> str:
        """As text; what isn't UTF-8 is replaced."""
        return self.data.text


class Gap(msgspec.Struct, frozen=True):
    """Output from `start` to before `end` that was dropped, as it went beyond its limit."""

    start: int
    end: int


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was searched for, without its newline. `line` counts from 1 where the search
    begins. `is_context`: it stands around one that matches; `is_partial`: it has no end yet.

    >>> match = next(job.grep("l+"))
    >>> match.line, match.offset, match.text
    (1, 0, 'hello')
    """

    line: int
    offset: int
    stream: str
    command: int
    time: str
    data: OutputBytes
    is_context: bool = False
    is_partial: bool = False

    @property
    def text(self) -> str:
        """As text; what isn't UTF-8 is replaced."""
        return self.data.text


class End(msgspec.Struct, tag_field="Type", tag="end", frozen=True, kw_only=True, rename="pascal"):
    """How a job ended. `state` is None when it was `cleaned`; `error`: why not all of its output
    could be read.
    """

    state: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    bytes: int = 0
    sha256: str | None = msgspec.field(name="SHA256", default=None)
    cleaned: bool = False
    error: str | None = None


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one job. `cursor` is what `follow(after=)` takes.

    >>> *_, told = client.follow(state="all", follow=False)
    >>> isinstance(told, Followed), isinstance(told.record, End)
    (True, True)
    """

    job_id: str
    record: Record | Gap | End
    cursor: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a job: `view` is the job after it, None when it was cleaned.

    `seq` is what `events(after=)` takes.

    >>> *_, event = client.events()
    >>> isinstance(event, Event), event.view.id == event.job_id
    (True, True)
    """

    seq: int
    job_id: str
    view: JobView | None

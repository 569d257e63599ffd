"""The records of NDJSON as they come, and their bytes cut into lines."""

from __future__ import annotations

from functools import cache
from typing import Final, TypeAlias, TypeVar

import msgspec

from service.client.earlier import view_of
from service.client.failures import UnexpectedAnswer
from service.client.results import End, Match, OutputBytes, Record
from service.jobs.views import EndRecord, JobView

T = TypeVar("T")

# Bytes of a record that can't be read, as they are quoted.
_QUOTED: Final = 80


class WireOutput(msgspec.Struct, tag_field="Type", tag="output", rename="pascal", gc=False):
    """A piece of output, as `Text` or, where it isn't UTF-8, as `Data`."""

    offset: int
    end: int
    stream: str
    command: int
    time: str
    text: str | None = None
    data: bytes | None = None
    partial: bool = False

    @property
    def raw(self) -> bytes:
        return (self.data or b"") if self.text is None else self.text.encode()

    def record(self) -> Record:
        return Record(
            offset=self.offset,
            end=self.end,
            stream=self.stream,
            command=self.command,
            time=self.time,
            data=OutputBytes(self.raw),
            is_partial=self.partial,
        )


class WireGap(
    msgspec.Struct, tag_field="Type", tag="gap", rename={"start": "From", "end": "To"}, gc=False
):
    start: int
    end: int


class WireEnd(EndRecord, tag_field="Type", tag="end", frozen=True, kw_only=True, rename="pascal"):
    """The service's own end record, with the tag."""


class WireHeartbeat(msgspec.Struct, tag_field="Type", tag="heartbeat", gc=False):
    """It says that the connection is alive."""


class WireLine(msgspec.Struct, tag_field="Type", tag="line", rename="pascal", gc=False):
    """A line that was searched for."""

    line: int
    offset: int
    stream: str
    command: int
    time: str
    text: str | None = None
    data: bytes | None = None
    partial: bool = False
    context: bool = False

    def match(self) -> Match:
        return Match(
            line=self.line,
            offset=self.offset,
            stream=self.stream,
            command=self.command,
            time=self.time,
            data=OutputBytes((self.data or b"") if self.text is None else self.text.encode()),
            is_context=self.context,
            is_partial=self.partial,
        )


class WireMatches(msgspec.Struct, tag_field="Type", tag="matches", rename="pascal", gc=False):
    """The last record of a search."""

    count: int


class OfJob(msgspec.Struct, rename="pascal", gc=False):
    """What a record of many jobs has beside its own members; a heartbeat has no job."""

    cursor: str
    job: str | None = None


class WireChange(msgspec.Struct, tag_field="Type", tag="change"):
    """Of a job. The rest is its view, unless it was cleaned."""

    seq: int = msgspec.field(name="Seq")
    id: str = msgspec.field(name="ID")
    cleaned: bool = msgspec.field(name="Cleaned", default=False)


OfOutput: TypeAlias = WireOutput | WireGap | WireEnd | WireHeartbeat
OfSearch: TypeAlias = WireLine | WireMatches | WireGap
OfMany: TypeAlias = WireOutput | WireGap | End | WireHeartbeat
OfEvents: TypeAlias = WireChange | WireHeartbeat


# Each is made for the first record: that takes as long as a fifth of the imports.
@cache
def _of_output() -> msgspec.json.Decoder[OfOutput]:
    return msgspec.json.Decoder(OfOutput)


@cache
def _of_search() -> msgspec.json.Decoder[OfSearch]:
    return msgspec.json.Decoder(OfSearch)


@cache
def _of_many() -> msgspec.json.Decoder[OfMany]:
    return msgspec.json.Decoder(OfMany)


@cache
def _of_job() -> msgspec.json.Decoder[OfJob]:
    return msgspec.json.Decoder(OfJob)


@cache
def _of_events() -> msgspec.json.Decoder[OfEvents]:
    return msgspec.json.Decoder(OfEvents)


@cache
def _of_views() -> msgspec.json.Decoder[JobView]:
    return msgspec.json.Decoder(JobView)


def output_record(line: bytes) -> OfOutput:
    """Raises: UnexpectedAnswer."""
    return _decoded(_of_output(), line)


def search_record(line: bytes) -> OfSearch:
    """Raises: UnexpectedAnswer."""
    return _decoded(_of_search(), line)


def many_record(line: bytes) -> tuple[OfMany, OfJob]:
    """A record of many jobs, and whose it is. Raises: UnexpectedAnswer."""
    return _decoded(_of_many(), line), _decoded(_of_job(), line)


def event_record(line: bytes) -> tuple[OfEvents, JobView | None]:
    """A record of `/events`, and the view in it. Raises: UnexpectedAnswer."""
    record = _decoded(_of_events(), line)
    has_view = isinstance(record, WireChange) and not record.cleaned
    return record, _decoded(_of_views(), line) if has_view else None


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    try:
        return view_of(line, decoder)
    except msgspec.DecodeError as exc:
        raise UnexpectedAnswer(
            f"Expected a record of NDJSON, got {line[:_QUOTED]!r}: {exc}."
        ) from exc


class LineSplitter:
    """Cuts bytes into lines, however they come; with `most` longer ones into pieces."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their newlines."""
        lines: list[bytes] = []
        *whole, rest = data.split(b"\n")
        for line in whole:
            if not self._size and (self._most is None or len(line) <= self._most):
                lines.append(line)  # nearly all of them
            else:
                lines += self._hold(line)
                lines += [b"".join(self._parts)]
                self._parts, self._size = [], 0
        return lines + self._hold(rest)

    def rest(self) -> list[bytes]:
        """A last line that has no newline."""
        found = [b"".join(self._parts)] if self._size else []
        self._parts, self._size = [], 0
        return found

    def _hold(self, data: bytes) -> list[bytes]:
        """Hold more of a line. Of one that is longer than a piece the whole pieces are returned."""
        if data:
            self._parts.append(data)
            self._size += len(data)
        if self._most is None or self._size <= self._most:
            return []
        held, most = b"".join(self._parts), self._most
        cut = (len(held) - 1) // most * most  # something is left, to end the line
        self._parts, self._size = [held[cut:]], len(held) - cut
        return [held[i : i + most] for i in range(0, cut, most)]

"""The records of NDJSON as they come, and their bytes cut into lines."""

from __future__ import annotations

from functools import cache
from typing import Final, TypeAlias

import msgspec

from service.client.failures import UnexpectedAnswer
from service.client.results import OutputBytes, Record
from service.jobs.views import EndRecord, JobView

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


class WireChange(msgspec.Struct, tag_field="Type", tag="change"):
    """Of a job. The rest is its view, unless it was cleaned."""

    seq: int = msgspec.field(name="Seq")
    id: str = msgspec.field(name="ID")
    cleaned: bool = msgspec.field(name="Cleaned", default=False)


OfOutput: TypeAlias = WireOutput | WireGap | WireEnd | WireHeartbeat
OfEvents: TypeAlias = WireChange | WireHeartbeat


# Each is made for the first record: that takes as long as a fifth of the imports.
@cache
def _of_output() -> msgspec.json.Decoder[OfOutput]:
    return msgspec.json.Decoder(OfOutput)


@cache
def _of_events() -> msgspec.json.Decoder[OfEvents]:
    return msgspec.json.Decoder(OfEvents)


@cache
def _of_views() -> msgspec.json.Decoder[JobView]:
    return msgspec.json.Decoder(JobView)


def output_record(line: bytes) -> OfOutput:
    """Raises: UnexpectedAnswer."""
    try:
        record: OfOutput = _of_output().decode(line)
    except msgspec.DecodeError as exc:
        raise _unreadable(line, exc) from exc
    return record


def event_record(line: bytes) -> tuple[OfEvents, JobView | None]:
    """A record of `/events`, and the view in it. Raises: UnexpectedAnswer."""
    try:
        record = _of_events().decode(line)
        has_view = isinstance(record, WireChange) and not record.cleaned
        return record, _of_views().decode(line) if has_view else None
    except msgspec.DecodeError as exc:
        raise _unreadable(line, exc) from exc


def _unreadable(line: bytes, exc: Exception) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"Expected a record of NDJSON, got {line[:_QUOTED]!r}: {exc}.")


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

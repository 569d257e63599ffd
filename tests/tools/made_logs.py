"""Logs of which a test chooses every run, byte and time, and what of them is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.output.files import INDEX_NAME, OUTPUT_NAME
from service.output.index import NO_GAP, STDOUT, Gap, LogState, Record

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MadeLog", "Run"]


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes of one stream and one command, which came at one time."""

    stream: int
    command: int
    time_ns: int
    data: bytes


@dataclass(slots=True)
class MadeLog:
    """A finished log. `dropped`: from which offset to before which."""

    runs: list[Run]
    dropped: tuple[int, int] = (0, 0)
    whole: bytes = b""
    owners: list[Run] = field(default_factory=list)
    """Of each byte."""

    def __post_init__(self) -> None:
        self.whole = b"".join(run.data for run in self.runs)
        self.owners = [run for run in self.runs for _ in run.data]
        start, end = self.dropped
        end = min(end, len(self.whole))
        self.dropped = (start, end) if 0 < start < end < len(self.whole) else (0, 0)

    def position(self, offset: int, stream: int | None) -> int:
        """Bytes of that stream before `offset`."""
        return sum(stream in (None, run.stream) for run in self.owners[:offset])

    def write(self, directory: Path) -> LogState:
        """Makes its two files."""
        records = []
        offset = 0
        counts = {1: 0, 2: 0}
        for run in self.runs:
            records.append(Record(offset, counts[run.stream], run.time_ns, run.command, run.stream))
            offset += len(run.data)
            counts[run.stream] += len(run.data)
        gap = NO_GAP
        raw = bytearray(self.whole)
        packed = [record.pack() for record in records]
        start, end = self.dropped
        if end:
            first = sum(record.offset < start for record in records)
            last = max(number for number, record in enumerate(records) if record.offset <= end)
            gap = Gap(
                start, end, self.position(start, STDOUT), self.position(end, STDOUT), first, last
            )
            raw[start:end] = bytes(end - start)
            packed[first:last] = [bytes(32)] * max(0, last - first)
        state = LogState(
            len(raw),
            counts[STDOUT],
            closed=True,
            complete=True,
            limit=len(raw) if end else 0,
            gap=gap,
        )
        (directory / OUTPUT_NAME).write_bytes(bytes(raw))
        (directory / INDEX_NAME).write_bytes(state.pack() + b"".join(packed))
        return state

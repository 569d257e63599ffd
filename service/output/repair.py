"""Making the files of a log agree again after their writer was killed.

The writer's order (record, bytes, header) makes every state that a kill can leave a readable one:
whatever `output` has beyond the header's end belongs to the last record. What only a power cut or
a foreign hand can do, such as a record that points beyond the end, is cut away.

Repairing is idempotent, so being killed in the middle of it does no harm.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from service.errors import CorruptLog
from service.output.index import (
    HEADER_BYTES,
    NO_GAP,
    RECORD_BYTES,
    STDOUT,
    LogState,
    Record,
    record_position,
)

__all__ = ["Repaired", "repair"]


class Repaired(NamedTuple):
    """Where a writer goes on: the state, the records, and in sentences what had to be mended."""

    state: LogState
    record_count: int
    last: Record | None
    sentences: list[str]


def repair(output_fd: int, runs_fd: int) -> Repaired:
    """Makes both files agree and the header true. No other process may be writing them.

    A finished log is left alone: all of it was written before it was said to be finished.
    """
    sentences: list[str] = []
    header = _header(runs_fd, sentences)
    if header is not None and header.closed:
        return Repaired(header, 0, None, sentences)
    gap = NO_GAP if header is None else header.gap
    end = os.fstat(output_fd).st_size
    if end < gap.end:
        # Offsets stay what they are: what the file gets for it is told to be dropped.
        os.ftruncate(output_fd, gap.end)
        end = gap.end
    count, last = _cut_records(runs_fd, end, gap.record_end, sentences)
    if last is None and end:
        last = Record(gap.end, gap.stdout_end, 0, 0, STDOUT)
        os.pwrite(runs_fd, last.pack(), record_position(gap.record_end))
        count = gap.record_end + 1
        unowned = end - gap.end
        sentences.append(f"{unowned} bytes had no record: taken for standard output of command 0")
    stdout_end = 0
    if last is not None:
        own = end - last.offset if last.stream == STDOUT else 0
        stdout_end = last.position_in(STDOUT) + own
    limit = 0 if header is None else header.limit
    state = LogState(end, stdout_end, limit=limit, gap=gap)
    if header is not None and header.end > end:
        sentences.append(f"{header.end - end} bytes that were announced are missing")
    elif header is not None and header.end < end:
        sentences.append(f"{end - header.end} bytes beyond the header's end belong to the last run")
    elif header is not None and header != state:
        sentences.append("the header's count of standard output was wrong")
    if header != state:
        # Also wakes whoever follows the log.
        os.pwrite(runs_fd, state.pack(), 0)
    return Repaired(state, count, last, sentences)


def _header(runs_fd: int, sentences: list[str]) -> LogState | None:
    try:
        return LogState.unpack(os.pread(runs_fd, HEADER_BYTES, 0))
    except CorruptLog as error:
        sentences.append(f"the header was written anew: {error}")
        return None


def _cut_records(
    runs_fd: int, end: int, first: int, sentences: list[str]
) -> tuple[int, Record | None]:
    # Records before the `first` are about what lies before the gap, or gone.
    size = os.fstat(runs_fd).st_size
    count, torn = divmod(max(size - HEADER_BYTES, 0), RECORD_BYTES)
    if torn:
        sentences.append(f"a record was torn: {torn} bytes of it cut")
    last = None
    sound = count
    while sound > first:
        last = Record.unpack_many(os.pread(runs_fd, RECORD_BYTES, record_position(sound - 1)))[0]
        if last.is_sound and last.offset <= end:
            break
        sound -= 1
        last = None
    if sound < count:
        sentences.append(f"{count - sound} records that point to nothing were cut")
    if torn or sound < count:
        os.ftruncate(runs_fd, record_position(sound))
    return sound, last

"""The output of a job as a flow, which resumes by itself at the byte.

A stream of bytes has two phases, again and again until the job has ended: what is stored comes as
it is, with its length; what comes then, as records with heartbeats and an end record.

Rules
1. Only the end record ends a stream, or the same in the head of a response for a finished job, once
   all bytes that it counts have come. A response that ends cleanly before is a cut.
2. What is lost is asked for again from the offset behind the last byte that was emitted.
3. Dropped output (`OutputLimit`) is told: `OffsetInGap` is raised, or a line stands in its place.
4. A selection is read as records, which say where they are; `selection.Part` is what is still to
   come of it. Its own end may come before that of the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from service.client.calls import opened
from service.client.failures import UnexpectedAnswer
from service.client.requests import follow_request, stored_request
from service.client.results import Gap, OutputBytes, Record
from service.client.retrying import Attempts, Policy
from service.client.selection import Part, Selection, part_of
from service.client.steps import READ, Emit, Failure, Flow, mapped
from service.client.wire import (
    LineSplitter,
    WireEnd,
    WireGap,
    WireHeartbeat,
    WireOutput,
    output_record,
)
from service.errors import OffsetInGap
from service.jobs.views import EndRecord

T = TypeVar("T")
Stream: TypeAlias = Literal["stdout", "stderr"]
Gaps: TypeAlias = Literal["cut", "mark"]

# A longer line comes in pieces: bounds the memory for output without newlines.
MAX_LINE_BYTES: Final = 1 << 20


class Place(msgspec.Struct, kw_only=True):
    """Where a reader of a job's output is.

    Attributes:
        offset: of the next byte; a negative one counts from the end that there is at the start.
        stream: the one that is read, whose bytes offsets then count; None: both.
        part: what of the output is still to come.
        is_last: all of it was read.
        at_line_start: what was read ends with a line, or nothing was.
    """

    job_id: str
    offset: int = 0
    stream: Stream | None = None
    part: Part = msgspec.field(default_factory=Part)
    is_last: bool = False
    at_line_start: bool = True

    def query(self) -> list[tuple[str, str]]:
        """What asks for the rest."""
        named = [] if self.stream is None else [("stream", self.stream)]
        return self.part.query(self.offset) + named

    def begin(self, headers: Mapping[str, str]) -> None:
        """Take over where a response begins. Raises: UnexpectedAnswer."""
        begin = _number(headers, "Jobrunner-Offset")
        if self.offset >= 0 and begin != self.offset and not self.part.seeks:
            raise UnexpectedAnswer(f"Asked for offset {self.offset}, got offset {begin}.")
        self.offset = begin
        self.part.begun()

    def check(self, begin: int) -> None:
        """Raises: UnexpectedAnswer, unless a piece from there follows the one before."""
        is_next = begin == self.offset if self.part.command is None else begin >= self.offset
        if not is_next:
            raise UnexpectedAnswer(
                f"Expected a record of offset {self.offset}, got one of {begin}."
            )

    def finish(self, end: EndRecord) -> None:
        """The response is whole. Raises: UnexpectedAnswer, unless all of a finished job came."""
        if self.part.is_bounded:
            self.is_last = True
        elif end.state in ("exited", "killed"):  # else: all that there is now
            sizes = {None: end.bytes, "stdout": end.stdout, "stderr": end.stderr}
            self.finish_at(sizes[self.stream])

    def finish_at(self, size: int) -> None:
        """The job has ended with so many bytes. Raises: UnexpectedAnswer, unless they were read."""
        if self.offset != size and self.part.command is None:
            raise UnexpectedAnswer(
                f"The job has ended with {size} bytes of output, and {self.offset} of them came."
            )
        self.is_last = True


class AtOffset:
    """Of a reader of output."""

    _at: Place

    @property
    def offset(self) -> int:
        """Behind the last item: where another reader continues."""
        return self._at.offset


def place_of(
    job_id: str, offset: int = 0, stream: Stream | None = None, selection: Selection | None = None
) -> Place:
    """Where a reader begins. Raises: ValueError, for a selection that contradicts itself."""
    part = part_of(selection or {}, offset=offset)
    return Place(job_id=job_id, offset=offset, stream=stream, part=part)


def read_bytes(policy: Policy, place: Place, *, gaps: Gaps, follow: bool) -> Flow[bytes, None]:
    """The bytes, until the job has ended, or as far as there are any now.

    Raises: OffsetInGap, with `gaps="cut"`; JobrunnerError; ServiceUnreachable; UnexpectedAnswer.
    """
    attempts = Attempts(policy, is_patient=True)
    while not (place.is_last or place.part.is_over):
        try:
            is_whole = True
            if place.part.is_everything:
                is_whole = yield from _stored(place, attempts)
                if is_whole and not follow:
                    return
            if is_whole and not place.is_last:
                is_whole = yield from _followed(place, attempts, _bytes_of, follow=follow)
                if is_whole and not follow:
                    return
        except OffsetInGap as exc:
            if gaps == "cut":
                raise
            line = _gap_line(max(place.offset, exc.gap[0]), exc.gap[1])
            yield Emit(line if place.at_line_start else b"\n" + line)
            place.offset, place.at_line_start = exc.gap[1], True


def read_lines(
    policy: Policy, place: Place, *, gaps: Gaps, follow: bool
) -> Flow[OutputBytes, None]:
    """The same in lines without their newlines; longer ones than `MAX_LINE_BYTES` in pieces."""
    splitter = LineSplitter(MAX_LINE_BYTES)
    raw = read_bytes(policy, place, gaps=gaps, follow=follow)
    return mapped(
        raw,
        lambda data: [OutputBytes(line) for line in splitter.feed(data)],
        lambda: [OutputBytes(line) for line in splitter.rest()],
    )


def read_records(
    policy: Policy, place: Place, *, lines: bool, follow: bool
) -> Flow[Record | Gap, None]:
    """The output as records, until the job has ended, or as far as there are any now.

    Raises: JobrunnerError; ServiceUnreachable; UnexpectedAnswer.
    """
    attempts = Attempts(policy, is_patient=True)
    while not (place.is_last or place.part.is_over):
        is_whole = yield from _followed(place, attempts, _record_of, lines=lines, follow=follow)
        if is_whole and not follow:
            return


def _stored(place: Place, attempts: Attempts) -> Flow[bytes, bool]:
    """What is stored now; whether it came as a whole."""
    request = stored_request(place.job_id, place.query())
    head = yield from opened(request, attempts)
    place.begin(head.headers)
    until = place.offset + _number(head.headers, "Content-Length")
    while got := (yield READ):
        if isinstance(got, Failure):
            yield from attempts.pause(got, request)
            return False
        place.offset += len(got)
        place.at_line_start = got.endswith(b"\n")
        attempts.progressed()
        yield Emit(got)
    if place.offset != until:
        yield from attempts.pause(Failure(_ended_early(place.offset)), request)
        return False
    if "Jobrunner-State" in head.headers:
        name = "bytes" if place.stream is None else place.stream
        place.finish_at(_number(head.headers, f"Jobrunner-{name.title()}"))
    return True


def _followed(
    place: Place,
    attempts: Attempts,
    show: Callable[[Place, WireOutput | WireGap], T],
    *,
    lines: bool = False,
    follow: bool = True,
) -> Flow[T, bool]:
    """What comes, shown by `show`; whether an end record came behind all of it."""
    request = follow_request(place.job_id, place.query(), lines=lines, follow=follow)
    head = yield from opened(request, attempts)
    place.begin(head.headers)
    splitter = LineSplitter()
    while got := (yield READ):
        if isinstance(got, Failure):
            yield from attempts.pause(got, request)
            return False
        for line in splitter.feed(got):
            record = output_record(line)
            if isinstance(record, WireEnd):
                place.finish(record)
                return True
            attempts.progressed()
            if not isinstance(record, WireHeartbeat):
                yield Emit(_shown(place, record, show))
    yield from attempts.pause(Failure(_ended_early(place.offset)), request)
    return False


def _shown(
    place: Place,
    record: WireOutput | WireGap,
    show: Callable[[Place, WireOutput | WireGap], T],
) -> T:
    begin = record.start if isinstance(record, WireGap) else record.offset
    place.check(begin)
    shown = show(place, record)
    place.offset = record.end
    if isinstance(record, WireOutput):
        place.part.took(record.end - begin)
    return shown


def _bytes_of(place: Place, record: WireOutput | WireGap) -> bytes:
    if isinstance(record, WireGap):
        raise OffsetInGap(place.offset, (record.start, record.end), record.end)
    raw = record.raw
    place.at_line_start = raw.endswith(b"\n")
    return raw


def _record_of(place: Place, record: WireOutput | WireGap) -> Record | Gap:
    del place
    if isinstance(record, WireGap):
        return Gap(record.start, record.end)
    return record.record()


def _number(headers: Mapping[str, str], name: str) -> int:
    try:
        return int(headers[name])
    except (KeyError, ValueError) as exc:
        raise UnexpectedAnswer(f"Expected a header {name}, which this answer hasn't.") from exc


def _gap_line(start: int, end: int) -> bytes:
    return b"[jobrunner: %d bytes dropped]\n" % (end - start)


def _ended_early(offset: int) -> str:
    return f"the response ended at byte {offset}, before its end"

"""How a request for stored output is answered: which bytes, with which status and head. No I/O.

Clients that resume were read for these rules. `curl -C -` takes every 416 as "already complete" and
looks at nothing but the first number of `Content-Range`; `wget -c` takes a 416 for success when it
has at least the 416's `Content-Length`. So a 416 is empty, and nothing but the end of the output
leads to one. And a range that begins behind the place that was asked for has no `Content-Length`:
with one that happens to be the size of what curl already has, curl takes that for the whole.

Source: RFC 9110, sections 13 and 14.
"""

from __future__ import annotations

from typing import Final

import msgspec

from service.api.ranges import ByteRange
from service.errors import OffsetBeyondEnd
from service.output.index import STDERR, STDOUT

_SUFFIXES: Final = {None: "", STDOUT: "-stdout", STDERR: "-stderr"}


class Stored(msgspec.Struct, frozen=True):
    """What there is: `size` bytes, of which those in `gap` were dropped."""

    size: int
    gap: tuple[int, int]
    is_finished: bool


class Answer(msgspec.Struct, frozen=True):
    """The bytes from `begin` to before `end`, with these headers; no body with 304 and 416.
    `skips`: they begin behind the place that was asked for, as what lies there was dropped.
    """

    status: int
    begin: int
    end: int
    headers: dict[str, str]
    skips: bool = False

    @property
    def has_body(self) -> bool:
        """Whether bytes are to be sent, if there are any."""
        return self.status in (200, 206)


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a log with all its bytes, or for a range of them. `etag` is the log's name;
    `wanted` None: no range.
    """

    etag: str
    wanted: ByteRange | None = None
    if_range: str | None = None
    if_none_match: str | None = None

    @property
    def range(self) -> ByteRange | None:
        """The range that is sent: of a log with another name it would be one of other bytes."""
        return self.wanted if self.if_range in (None, self.etag) else None

    def begin(self, size: int) -> int:
        """Where the answer begins when there are so many bytes."""
        return 0 if self.range is None else self.range.begin(size)

    def answer(self, stored: Stored) -> Answer:
        """What is sent of that."""
        headers = _head(stored) | {"ETag": self.etag, "Accept-Ranges": "bytes"}
        # While bytes are added, "not modified" would hide them.
        if stored.is_finished and self._is_known():
            return Answer(304, 0, 0, headers)
        if self.range is not None:
            part = self.range.part(stored.size, stored.gap)
            if part is None:
                headers |= {"Cache-Control": "no-store", "Content-Range": f"bytes */{stored.size}"}
                return Answer(416, 0, 0, headers)
            begin, end = part
            if begin < end:  # else all that is left was dropped: no range, and no 416 either
                size = stored.size if stored.is_finished else "*"
                content_range = f"bytes {begin}-{end - 1}/{size}"
                headers |= {"Content-Range": content_range}
                skips = begin != self.range.begin(stored.size)
                return Answer(206, begin, end, headers, skips=skips)
        return Answer(200, 0, stored.size, headers)

    def _is_known(self) -> bool:
        if self.if_none_match is None:
            return False
        # The weak comparison. Source: RFC 9110, section 13.1.2.
        known = {each.strip().removeprefix("W/") for each in self.if_none_match.split(",")}
        return self.etag in known or known == {"*"}


class Selection(msgspec.Struct, frozen=True):
    """A request for the bytes from `offset` on, which has no range; a negative one counts from the
    present end.
    """

    offset: int = 0

    def begin(self, size: int) -> int:
        """Where the answer begins when there are so many bytes."""
        return self.offset if self.offset >= 0 else max(0, size + self.offset)

    def answer(self, stored: Stored) -> Answer:
        """What is sent of that. Raises: OffsetBeyondEnd."""
        if (begin := self.begin(stored.size)) > stored.size:
            raise OffsetBeyondEnd(self.offset, stored.size)
        return Answer(200, begin, stored.size, _head(stored) | {"Accept-Ranges": "none"})


def etag_of(job_id: str, stream: int | None) -> str:
    """The name of a log, or of one of its streams. It never changes: every prefix is immutable."""
    return f'"{job_id}{_SUFFIXES[stream]}"'


def _head(stored: Stored) -> dict[str, str]:
    keeping = "private, immutable" if stored.is_finished else "no-store"
    # One job has output in several formats.
    return {"Cache-Control": keeping, "Vary": "Accept"}

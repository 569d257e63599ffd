"""Records of one job in a stream of many: each tells whose it is, and where the reader of the whole
stream is after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.output.formats.encoder import Options
from service.output.formats.records import RecordEncoder, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["JobRecords"]


class JobRecords(RecordEncoder):
    """Frames as `framing` does. `cursor` gives the place in the stream after a record of this job
    up to an offset; for None after its end.
    """

    __slots__ = ("_cursor", "_framing", "_job", "_place")

    def __init__(
        self,
        framing: RecordEncoder,
        job: str,
        cursor: Callable[[int | None], str],
        *,
        lines: bool = False,
    ) -> None:
        super().__init__(Options(marks_gaps=True, lines=lines))
        self._framing = framing
        self._job = job
        self._cursor = cursor
        self._place = ""

    def members(self, place: int) -> Mapping[str, object]:
        """The job, and the place in the stream."""
        return self._members(place)

    def frame(self, kind: str, body: bytes, place: str) -> bytes:
        """At the place in the stream, instead of the one in the log."""
        del place
        return self._framing.frame(kind, body, self._place)

    def end(self, record: Mapping[str, object], offset: int) -> bytes:
        """The end record, behind what was held back."""
        del offset
        held_back = self._flush()
        members = self._members(None)
        body = encode_json({**members, **record})
        return held_back + self.frame("end", body, "")

    def _members(self, place: int | None) -> Mapping[str, object]:
        self._place = self._cursor(place)
        return {"Job": self._job, "Cursor": self._place}

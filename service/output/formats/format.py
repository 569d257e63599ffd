"""A format that a reader can ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.output.formats.encoder import Encoder

__all__ = ["Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """One media type, and what encodes it.

    Attributes:
        media_type: what an `Accept` header is matched with.
        content_type: the header of the response.
        cutting: the encoder's class when a stream is to be cut where bytes were dropped,
        marking: and when the place is to be marked.
        marks_gaps: whether it is marked for a reader that doesn't say.
    """

    media_type: str
    content_type: str
    cutting: type[Encoder]
    marking: type[Encoder]
    marks_gaps: bool

    def encoder(self, *, marks_gaps: bool | None = None) -> Encoder:
        """A new encoder, for one reader; None: that reader doesn't say."""
        marks = self.marks_gaps if marks_gaps is None else marks_gaps
        return self.marking() if marks else self.cutting()

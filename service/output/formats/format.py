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
    """

    media_type: str
    content_type: str
    cutting: type[Encoder]
    marking: type[Encoder]

    def encoder(self, *, marks_gaps: bool) -> Encoder:
        """A new encoder, for one reader."""
        return self.marking() if marks_gaps else self.cutting()

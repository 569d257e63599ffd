"""In which format a caller gets output: as `format` says, else as the header `Accept` does."""

from __future__ import annotations

from typing import Final, NamedTuple

from service.api import forms
from service.errors import NotAcceptable
from service.output.formats.format import Format
from service.output.formats.registry import FORMATS
from service.web.request import Request

FORMAT: Final = forms.one_of({found.name: found for found in FORMATS})
"""The values of `format`."""

MEDIA_TYPES: Final = tuple(mime for found in FORMATS for mime in found.media_types)


class Negotiated(NamedTuple):
    """The format, and the Content-Type of a response in it."""

    format: Format
    content_type: str


def negotiated(
    request: Request, asked: Format | None, offered: tuple[Format, ...] = FORMATS
) -> Negotiated:
    """The format that is asked for, else the one that is preferred, the first among equals.

    `asked` wins over `Accept`: a link in a page can't choose its header. Of a format with several
    media types the response has the one that is preferred. Raises: NotAcceptable.
    """
    if asked is not None:
        offered = (asked,)
    if "accept" not in request.headers:
        return _as(offered[0], offered[0].media_types[0])
    wishes = [(mime, found) for found in offered for mime in found.media_types]
    mime, wanted = max(wishes, key=lambda wish: _wish(request, wish[0]))
    if asked is None and not _wish(request, mime):
        given = request.headers["accept"][:80]
        *others, last = (mime for mime, _ in wishes)
        told = f"{', '.join(others)} or {last}"
        raise NotAcceptable(f"Output comes as {told}, got 'Accept: {given}'.")
    return _as(wanted, mime)


def _as(wanted: Format, mime: str) -> Negotiated:
    return Negotiated(wanted, wanted.content_type(mime))


def _wish(request: Request, mime: str) -> float:
    """From 0 (never) to 1: what the most specific range that covers `mime` says.

    Source: RFC 9110, section 12.5.1.
    """
    ranges = [r for r in request.accept if r.match(mime)]
    if not ranges:
        return 0.0
    return float(max(ranges, key=lambda r: (r.type != "*", r.subtype != "*", len(r.params))).q)

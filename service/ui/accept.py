"""Whether a caller wants a page for people rather than JSON.

Source: RFC 9110, section 12.5.1: the most specific range that covers a type gives its quality.
"""

from __future__ import annotations

import re
from typing import Final

# A quality has three digits at most; anything else counts as not acceptable.
_QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def prefers_html(accept: str) -> bool:
    """Whether `accept`, the value of the header, prefers `text/html` to `application/json`.

    HTML must be named, or `text/*`: no wish at all, `*/*` and equal wishes are none for it.
    """
    accept = accept.lower()
    if "text/" not in accept:  # nearly every program
        return False
    ranges = [_range(text) for text in accept.split(",")]
    return _wish(ranges, "text", "html") > _wish(ranges, "application", "json")


def _range(text: str) -> tuple[str, str, float]:
    media, *parameters = (part.strip() for part in text.split(";"))
    kind, _, subtype = media.partition("/")
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            quality = float(value) if _QUALITY.fullmatch(value) else 0.0
    return kind, subtype, quality


def _wish(ranges: list[tuple[str, str, float]], kind: str, subtype: str) -> float:
    for covering in ((kind, subtype), (kind, "*"), ("*", "*")):
        found = [quality for *media, quality in ranges if tuple(media) == covering]
        if found:
            return max(found)
    return 0.0

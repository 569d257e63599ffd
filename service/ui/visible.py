"""Text of jobs for a page without a script: what a reader can't see is made visible."""

from __future__ import annotations

import re
from html import escape
from typing import Final

# Controls but for line end and tab; what has no width, or turns the direction of writing.
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# Pictures of the controls: U+2400 stands for U+0000.
_PICTURES: Final = 0x2400
_DELETE: Final = 0x7F


def visible(text: str) -> str:
    """`text` escaped for HTML, its hidden characters by their pictures or numbers."""
    return escape(_HIDDEN.sub(_picture, text))


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == _DELETE else f"[U+{code:04X}]"

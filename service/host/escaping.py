"""Text from outside, made safe to write where a person or a program reads lines.

Control characters drive terminals and forge lines; bidirectional and invisible ones show another
text than stands there; a lone surrogate (a byte of a header that is no UTF-8) can't be encoded.
"""

from __future__ import annotations

import re
from typing import Final

# C0, DEL and C1; soft hyphen, bidirectional and other invisible format characters, line and
# paragraph separators, BOM, tags; surrogates; noncharacters. Source: Unicode categories Cc, Cf,
# Zl, Zp, Cs.
_SPECIAL: Final = (
    "\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff"
    "\\ufff9-\\ufffb\\ufffe\\uffff\\ud800-\\udfff\\U000e0000-\\U000e007f"
)
_UNSAFE: Final = re.compile(f"[{_SPECIAL}]")
# The same without the newline and the tab, for text that has lines of its own.
_UNSAFE_IN_LINES: Final = re.compile(f"(?![\\n\\t])[{_SPECIAL}]")


def escaped(text: str) -> str:
    """`text` on one line, each unsafe character as JSON escapes it: a line of JSON stays JSON, and
    means the same.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_escape, text)


def escaped_lines(text: str) -> str:
    """The same for text of several lines, as a traceback is."""
    return _UNSAFE_IN_LINES.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

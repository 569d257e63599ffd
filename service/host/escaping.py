"""Untrusted text, escaped for terminals and for logs with one entry per line.

Control characters drive terminals and forge lines; bidirectional and invisible characters display
as another text; a lone surrogate (from a header byte that isn't UTF-8) can't be encoded.
"""

from __future__ import annotations

import functools
import re
from typing import Final

# C0, DEL and C1; soft hyphen, bidirectional and other invisible format characters, line and
# paragraph separators, BOM, tags; surrogates; noncharacters. Source: Unicode categories Cc, Cf,
# Zl, Zp, Cs.
_SPECIAL: Final = (
    "\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff"
    "\\ufff9-\\ufffb\\ufffe\\uffff\\ud800-\\udfff\\U000e0000-\\U000e007f"
)
_UNSAFE: Final = f"[{_SPECIAL}]"
# The same except newline and tab, for text of several lines.
_UNSAFE_IN_LINES: Final = f"(?![\\n\\t])[{_SPECIAL}]"


def escaped(text: str) -> str:
    """`text` on one line, with unsafe characters as JSON escapes, so a line of JSON keeps its
    meaning.
    """
    if text.isascii() and text.isprintable():
        return text
    return _compiled(_UNSAFE).sub(_escape, text)


def escaped_lines(text: str) -> str:
    """The same for text of several lines, such as a traceback."""
    return _compiled(_UNSAFE_IN_LINES).sub(_escape, text)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Not at import: it takes 2 ms, of a command line that has 150 and seldom escapes anything.
    return re.compile(pattern)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

r"""A pattern, compiled by an engine whose time grows with the text and nothing else (RE2).

1. A line is what is matched, without its end (LF, or CR and LF). `^` and `$` are its beginning and
   its end, also with `(?-m)`.
2. Characters are those of UTF-8. What isn't UTF-8 is matched by `\C` only, and what stands around
   it is found.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from service.errors import BadQuery

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_PATTERN", "Pattern", "Span", "compiled"]

MAX_PATTERN: Final = 1000
"""Characters of a pattern."""

_MAX_MEMORY: Final = 4 << 20
"""Bytes of one compiled pattern and its caches; what needs more is refused, or takes longer."""

# In these the text, not a line of it, has a beginning or an end, or anything can be a newline.
_NEEDS_LINES: Final = re.compile(r"\\[AzC]|\(\?[A-Za-z]*-?[A-Za-z]*m")


class Span(Protocol):
    """What was found."""

    def start(self) -> int: ...


class Pattern:
    """Finds it.

    Attributes:
        search: finds the first match in bytes from a place on; None when there is none.
        takes_many: several lines may be given to it at once.
    """

    __slots__ = ("search", "takes_many")

    def __init__(self, search: Callable[[bytes, int], Span | None], *, takes_many: bool) -> None:
        self.search = search
        self.takes_many = takes_many


_KEPT: Final = 8
"""Compiled patterns that are kept for the next search: each may take that memory twice."""


@lru_cache(_KEPT)
def compiled(pattern: str, *, ignores_case: bool = False) -> Pattern:
    """Raises: BadQuery."""
    import re2  # noqa: PLC0415 - takes as long to load as the rest of a worker's modules together

    if len(pattern) > MAX_PATTERN:
        raise _bad(f"expected at most {MAX_PATTERN} characters, got {len(pattern)}")
    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    options.never_nl = True
    options.never_capture = True
    options.log_errors = False
    options.case_sensitive = not ignores_case
    try:
        # As it is first: what would close our group opens none, and an error quotes no group.
        re2.compile(pattern.encode(), options)
        found = re2.compile(f"(?m:{pattern})".encode(), options)
    except re2.error as error:
        raise _bad(f"{_reason(error)} (the syntax is that of RE2)") from error
    finally:
        re2.purge()  # it keeps the last 128 of them, and their caches
    return Pattern(found.search, takes_many=not _NEEDS_LINES.search(pattern))


def _bad(why: str) -> BadQuery:
    return BadQuery(f"The query parameter 'grep' is no pattern: {why}.")


def _reason(error: Exception) -> str:
    why = error.args[0] if error.args else b""
    text = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
    if text.startswith(("invalid perl operator: (?", "invalid escape sequence: \\")):
        text += "; look-around and back-references don't exist"
    return text

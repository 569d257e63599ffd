"""The terminal that a job asks for: its size, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from service.errors import FieldError, quoted
from service.jobs.fields import also

# What fits beside each record of a log, and is far more than a screen has.
MAX_ROWS: Final = 1000
MAX_COLS: Final = 10_000
_MAX_TERM_CHARS: Final = 64
# It names a file of the terminfo database. Source: term(7).
_TERM: Final = r"[A-Za-z0-9][A-Za-z0-9+._-]*"
_term: Final = re.compile(_TERM)

Rows = Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
Cols = Annotated[int, msgspec.Meta(ge=1, le=MAX_COLS)]
Term = Annotated[str, msgspec.Meta(max_length=_MAX_TERM_CHARS), also(pattern=f"^{_TERM}$")]


class Terminal(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """A terminal: its size when the first command starts, and the variable TERM of each command
    whose environment doesn't set it.
    """

    rows: Rows = 24
    cols: Cols = 80
    term: Term = "xterm-256color"


def errors_in_terminal(terminal: Terminal | None) -> Iterator[FieldError]:
    """What is wrong with it beyond the types of its fields."""
    if terminal is not None and not _term.fullmatch(terminal.term):
        expected = "expected the name of a terminal type, letters, digits and any of '+._-'"
        yield FieldError("/TTY/Term", f"{expected}, got {quoted(terminal.term)}")

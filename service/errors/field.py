"""Field errors: what is wrong with a request body, and where."""

from __future__ import annotations

from typing import Final, NamedTuple

# Field errors of one body that are listed: enough to see the pattern; validation stops there.
MAX_FIELD_ERRORS: Final = 20
# Characters of a foreign text that are quoted: enough to see a mix-up at a glance.
MAX_QUOTED_CHARS: Final = 80
# Of one step of a pointer: all of a name that is only a little too long.
MAX_STEP_CHARS: Final = 512
# Characters of a pointer and of a detail, whatever the body is: they bound the response.
MAX_POINTER_CHARS: Final = 1200
MAX_DETAIL_CHARS: Final = 600


class FieldError(NamedTuple):
    """One error in a request body: a JSON pointer (RFC 6901) and what is wrong there."""

    pointer: str
    detail: str


def quoted(text: str) -> str:
    """`text` for a message, cut when it is long."""
    return repr(text) if len(text) <= MAX_QUOTED_CHARS else f"{text[:MAX_QUOTED_CHARS]!r}…"


def cut(text: str, most: int) -> str:
    """`text`, of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def pointer_step(key: str) -> str:
    """`key` as one step of a JSON pointer, cut when it is long. Source: RFC 6901, section 3."""
    if len(key) > MAX_STEP_CHARS:
        key = f"{key[:MAX_STEP_CHARS]}…"
    return key.replace("~", "~0").replace("/", "~1")

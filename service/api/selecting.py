"""The parameters that select a part of the output, and which of them contradict each other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from service.api import forms
from service.api.agreement import Agreement, Contradiction, Need
from service.api.forms import Form, Unfit
from service.api.moments import MOMENT, Moment
from service.api.parameters import optional, query
from service.errors import BadQuery
from service.jobs.fields import MAX_COMMANDS
from service.output.search.pattern import MAX_PATTERN
from service.output.search.request import Grep
from service.output.selection import Selection

# More than any file has bytes.
MAX_BYTES: Final = 2**63 - 1
_MAX_LINES: Final = 1_000_000_000
# Lines around a match are kept until it is found.
_MAX_CONTEXT: Final = 100

# Each route takes some of them.
AGREEMENT: Final = Agreement(
    contradictions=(
        Contradiction("offset", "tail", "both say where to begin"),
        Contradiction("limit", "head", "both bound the size"),
        Contradiction("limit", "tail_bytes", "both bound the size"),
        Contradiction("grep", "head", "lines are found in all that is read, not in its ends"),
        Contradiction("grep", "tail_bytes", "lines are found in all that is read, not in its ends"),
    ),
    needs=(
        Need("invert", "grep"),
        Need("ignore_case", "grep"),
        Need("context", "grep"),
        Need("max", "grep"),
    ),
    words=(
        "A `since` is earlier than `until`.",
        "`timestamps` is for text, `lines` for `sse` and `ndjson`.",
    ),
)


@dataclass(frozen=True, kw_only=True)  # its subclass has slots, and several bases
class Selecting:
    """What attach and output have in common."""

    command: int | None = optional(
        forms.integer(0, MAX_COMMANDS - 1),
        "Only what this command wrote, counted from 0; offsets stay those of the whole.",
    )
    tail: int | None = optional(
        forms.integer(0, _MAX_LINES),
        "Begin so many lines before the present end; 0: only what comes from now on.",
    )
    since: Moment | None = optional(
        MOMENT,
        "Only what came at that time or later, to 10 ms: RFC 3339, seconds since 1970, or a"
        " duration back (`90s`, `10m`, `2h`, `7d`). A time to come is taken for now.",
    )
    until: Moment | None = optional(
        MOMENT, "Only what came before that time, written as `since`; then the answer ends."
    )
    limit: int | None = optional(
        forms.integer(1, MAX_BYTES),
        "End after so many bytes of output; never inside a sequence of UTF-8, unless that is all.",
    )

    @property
    def is_relative(self) -> bool:
        """Which part it is depends on when that is asked."""
        return any(each is not None and each.is_back for each in (self.since, self.until))


def _pattern(given: str) -> str:
    if len(given) > MAX_PATTERN:
        raise Unfit(given)
    return given


@dataclass(frozen=True, kw_only=True)
class Searching:
    """What only output has."""

    grep: str | None = optional(
        Form(
            _pattern,
            f"a pattern of at most {MAX_PATTERN} characters",
            {"type": "string", "maxLength": MAX_PATTERN},
        ),
        "Only the lines that match this pattern, in the syntax of RE2; not with `asciicast`.",
    )
    inverts: bool = query(
        forms.flag(), "Lines that don't match instead.", default=False, name="invert"
    )
    ignores_case: bool = query(
        forms.flag(),
        "Whether upper and lower case are the same.",
        default=False,
        name="ignore_case",
    )
    context: int = query(
        forms.integer(0, _MAX_CONTEXT), "Lines around each that matches.", default=0
    )
    most: int | None = optional(
        forms.integer(0, _MAX_LINES), "Matching lines that are sent; all are counted.", name="max"
    )
    ansi: bool | None = optional(
        forms.one_of({"strip": True}),
        "Without escape sequences: colours, titles, links, character sets.",
    )
    cr: bool | None = optional(
        forms.one_of({"collapse": True}), r"Of text that was overwritten by `\r` what was left."
    )
    head: int | None = optional(
        forms.integer(0, MAX_BYTES),
        "Only so many bytes from the beginning, and those of `tail_bytes`;"
        " what lies between is told of.",
    )
    tail_bytes: int | None = optional(
        forms.integer(0, MAX_BYTES), "Only so many bytes from the end, and those of `head`."
    )


def selection_of(given: Selecting, *, offset: int, stream: int | None, commands: int) -> Selection:
    """What is selected, of a job with so many commands. Raises: BadQuery."""
    if given.command is not None and given.command >= commands:
        raise BadQuery(
            f"The query parameter 'command': expected a whole number from 0 to {commands - 1},"
            f" got {str(given.command)!r}."
        )
    now = time.time_ns()
    since = None if given.since is None else min(given.since.at(now), now)
    until = None if given.until is None else given.until.at(now)
    if since is not None and until is not None and since >= until:
        raise BadQuery(
            "The query parameters 'since' and 'until' contradict each other: expected a 'since'"
            " that is earlier."
        )
    searched: dict[str, Any] = {}
    if isinstance(given, Searching):
        searched = {
            "head": given.head,
            "tail_bytes": given.tail_bytes,
            "strips_ansi": bool(given.ansi),
            "collapses_cr": bool(given.cr),
        }
    return Selection(
        offset=offset,
        stream=stream,
        command=given.command,
        tail=given.tail,
        since_ns=since,
        until_ns=until,
        limit=given.limit,
        **searched,
    )


def grep_of(given: Searching) -> Grep | None:
    """What is searched for, which may be no pattern; None: nothing."""
    if given.grep is None:
        return None
    return Grep(
        pattern=given.grep,
        inverts=given.inverts,
        ignores_case=given.ignores_case,
        context=given.context,
        most=given.most,
    )

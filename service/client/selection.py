"""Which part of the output is asked for, and what of it is still to come after a cut."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypedDict, Unpack

import msgspec

from service.client.steps import Query

Moment: TypeAlias = str | float | datetime
"""RFC 3339, seconds since 1970, a duration back (`90s`, `10m`, `2h`, `7d`), or a `datetime`."""

_BACK: Final = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Selection(TypedDict, total=False):
    """All that is given must be met; None is as if it weren't.

    Attributes:
        tail: begin so many lines before the present end; 0: only what comes from now on.
        since: only what came then or later, to 10 ms.
        until: only what came before that; then it ends. A duration back is taken from the clock of
            this machine.
        command: only what this command wrote, counted from 0.
        limit: end after so many bytes of output, not inside a character. After a cut it may be.
    """

    tail: int | None
    since: Moment | None
    until: Moment | None
    command: int | None
    limit: int | None


class Selectors(TypedDict, total=False):
    """Which jobs; None is as if it weren't given. They are those of a list of jobs."""

    state: str | Iterable[str] | None
    label: str | Iterable[str] | Mapping[str, str] | None
    name: str | None
    id_prefix: str | None
    since: Moment | None
    until: Moment | None
    exit_code: int | str | None
    reason: str | None


class Part(msgspec.Struct, kw_only=True):
    """What is still to come. Times are as the service takes them."""

    tail: int | None = None
    since: str | None = None
    until: str | None = None
    command: int | None = None
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """From the offset on to the end."""
        return not (self.seeks or self.is_bounded) and self.command is None

    @property
    def seeks(self) -> bool:
        """The service looks for its beginning."""
        return self.tail is not None or self.since is not None

    @property
    def is_bounded(self) -> bool:
        """It may end before the job does."""
        return self.until is not None or self.limit is not None

    @property
    def is_over(self) -> bool:
        return self.limit is not None and self.limit <= 0

    def begun(self) -> None:
        """Where it begins is known: an offset says it from now on."""
        self.tail = self.since = None

    def took(self, count: int) -> None:
        """So many bytes came."""
        if self.limit is not None:
            self.limit -= count

    def query(self, offset: int) -> list[tuple[str, str]]:
        """What asks for it from `offset` on, which `tail` makes pointless."""
        given = {
            "offset": offset if self.tail is None else None,
            "tail": self.tail,
            "since": self.since,
            "until": self.until,
            "command": self.command,
            "limit": self.limit,
        }
        return [(name, f"{value}") for name, value in given.items() if value is not None]


def check_names(given: Mapping[str, object], known: type) -> None:
    """Raises: TypeError, for a keyword that is none: left out it would select more."""
    for name in given:
        if name not in known.__annotations__:
            raise TypeError(f"Expected one of {', '.join(known.__annotations__)}, got {name!r}.")


def part_of(selection: Selection, *, offset: int = 0) -> Part:
    """What `selection` says. Raises: ValueError.

    >>> part_of({"tail": 3, "since": None, "limit": 100}).query(0)
    [('tail', '3'), ('limit', '100')]
    """
    check_names(selection, Selection)
    if selection.get("tail") is not None and offset:
        raise ValueError("Expected one of offset and tail: both say where to begin.")
    return Part(
        tail=selection.get("tail"),
        since=moment(selection.get("since")),
        until=_fixed(moment(selection.get("until"))),
        command=selection.get("command"),
        limit=selection.get("limit"),
    )


def moment(given: Moment | None) -> str | None:
    """As the service takes it.

    >>> moment(datetime(2026, 1, 31, 12, tzinfo=UTC)), moment(1.5), moment("10m")
    ('2026-01-31T12:00:00+00:00', '1.500000', '10m')
    """
    if isinstance(given, datetime):
        return given.astimezone(UTC).isoformat()
    if isinstance(given, int | float):
        return f"{given:.6f}"
    return given


def _fixed(given: str | None) -> str | None:
    # Asked for again after a cut, a duration back would end later.
    if given is None or (found := _BACK.fullmatch(given)) is None:
        return given
    return moment(max(0.0, time.time() - int(found[1]) * _SECONDS[found[2]]))


def selectors_of(*, order: str | None = None, **selectors: Unpack[Selectors]) -> Query:
    """The query that selects jobs.

    >>> selectors_of(state=["exited", "killed"], label={"team": "db"}, name=None, exit_code=3)
    [('state', 'exited,killed'), ('label', 'team=db'), ('exit', '3')]
    """
    check_names(selectors, Selectors)
    state, label = selectors.get("state"), selectors.get("label")
    found = []
    if state is not None:
        found.append(("state", state if isinstance(state, str) else ",".join(state)))
    if isinstance(label, Mapping):
        label = [f"{name}={value}" for name, value in label.items()]
    elif isinstance(label, str):
        label = [label]
    found += [("label", each) for each in label or ()]
    others = {
        "name": selectors.get("name"),
        "id": selectors.get("id_prefix"),
        "since": moment(selectors.get("since")),
        "until": moment(selectors.get("until")),
        "exit": selectors.get("exit_code"),
        "reason": selectors.get("reason"),
        "order": order,
    }
    return found + [(name, f"{value}") for name, value in others.items() if value is not None]

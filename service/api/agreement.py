"""Which parameters of a route go together: what contradicts what, and what means nothing alone.

Each pair is said once, here or beside the parameters: a request is checked by it, and the
description of the API tells it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import msgspec

from service.errors import BadQuery


class Contradiction(NamedTuple):
    """Two query parameters that are not to be given together, and why that can't be meant."""

    first: str
    second: str
    why: str


class Need(NamedTuple):
    """A query parameter that means nothing without another one."""

    name: str
    needed: str


class Agreement(msgspec.Struct, frozen=True):
    """What holds between the query parameters of a route. `words`: what else does, as sentences."""

    contradictions: tuple[Contradiction, ...] = ()
    needs: tuple[Need, ...] = ()
    words: tuple[str, ...] = ()

    def among(self, names: Collection[str]) -> Agreement:
        """What of it is about these parameters alone."""
        return Agreement(
            tuple(c for c in self.contradictions if {c.first, c.second} <= set(names)),
            tuple(n for n in self.needs if n.name in names),
            self.words,
        )

    def check(self, given: Collection[str]) -> None:
        """`given`: the names of the query parameters of a request. Raises: BadQuery."""
        for first, second, why in self.contradictions:
            if first in given and second in given:
                raise BadQuery(
                    f"The query parameters {first!r} and {second!r} contradict each other: {why}."
                )
        for name, needed in self.needs:
            if name in given and needed not in given:
                raise BadQuery(f"The query parameter {name!r} means nothing without {needed!r}.")

    def told(self) -> Iterator[str]:
        """Sentences for a caller, in Markdown."""
        for first, second, why in self.contradictions:
            yield f"`{first}` and `{second}` contradict each other: {why}."
        for needed in dict.fromkeys(n.needed for n in self.needs):
            names = [f"`{n.name}`" for n in self.needs if n.needed == needed]
            verb = "means" if len(names) == 1 else "mean"
            yield f"{_listed(names)} {verb} nothing without `{needed}`."
        yield from self.words


NOTHING_AGREED: Final = Agreement()


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last

"""Principals and what they may do. Values only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a token is good for; each is included in those after it."""

    READ = "read"
    RUN = "run"
    ADMIN = "admin"

    @property
    def meaning(self) -> str:
        """In a few words, for people."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Scope.READ: "list, show, attach to and wait for the principal's own jobs",
    Scope.RUN: "read, and submit, kill and clean the principal's own jobs",
    Scope.ADMIN: "everything, with everybody's jobs",
}
_ORDER: Final = tuple(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever calls. `name` is None while the service asks nobody for a name; `token` is the name
    of the token that proved it.
    """

    name: str | None
    scopes: frozenset[Scope]
    token: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether `scope`, or one that includes it, is among its own."""
        return any(_ORDER.index(own) >= _ORDER.index(scope) for own in self.scopes)

    @property
    def sees_all(self) -> bool:
        """Whether it sees the jobs of others."""
        return self.may(Scope.ADMIN)

    @property
    def only_owner(self) -> str | None:
        """The principal whose jobs alone it sees; None when it sees all."""
        return None if self.sees_all else self.name


ANYBODY: Final = Principal(None, frozenset({Scope.ADMIN}))

"""Principals and what they may do. Values only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from service.jobs.ceilings import NO_CEILINGS, Ceilings
from service.jobs.visibility import ALL, NOTHING, Only, Visibility


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
    Scope.RUN: "read, and submit, signal, resize, kill and clean the principal's own jobs",
    Scope.ADMIN: "everything, with everybody's jobs",
}
# The scopes of which one is enough, for each scope: itself and those after it.
_SUFFICIENT: Final = {scope: frozenset(list(Scope)[n:]) for n, scope in enumerate(Scope)}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request. `name` is None for LOCAL_ADMIN and UNAUTHENTICATED; `token` is the
    name of the token that authenticated it, `token_id` its ID, and `expires_at` its end
    (nanoseconds since 1970). `login`: the hash of the login that proved it in the token's place.
    """

    name: str | None
    scopes: frozenset[Scope]
    token: str | None = None
    ceilings: Ceilings = field(default=NO_CEILINGS, compare=False)
    token_id: str | None = field(default=None, compare=False)
    expires_at: int | None = field(default=None, compare=False)
    login: str | None = field(default=None, compare=False)

    def may(self, scope: Scope) -> bool:
        """Whether `scope`, or one that includes it, is among its own."""
        return not self.scopes.isdisjoint(_SUFFICIENT[scope])

    @property
    def visibility(self) -> Visibility:
        """The jobs that it sees: by its scopes, never by the absence of a name."""
        if self.may(Scope.ADMIN):
            return ALL
        if self.name is not None and self.scopes:
            return Only(self.name)
        return NOTHING


# The caller of a service without tokens.
LOCAL_ADMIN: Final = Principal(None, frozenset({Scope.ADMIN}))
# The caller of a public route of a service with tokens.
UNAUTHENTICATED: Final = Principal(None, frozenset())

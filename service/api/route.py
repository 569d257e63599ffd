"""What a route is: everything about it is said once, in the declaration beside its handler.

A declaration registers the route with Sanic and parses its parameters. It tells admission which
scope is needed, load shedding what a request costs, metrics and the access log the template of the
path, and OpenAPI all of it. HEAD isn't declared: it works where GET does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec
from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api.agreement import NOTHING_AGREED, Agreement
from service.api.parameters import Where, parameters
from service.errors import JobrunnerError
from service.web.fd_reserve import Cost
from service.web.request import Request

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
MERGE_PATCH: Final = "application/merge-patch+json"


class Tag(StrEnum):
    """What an operation is about; generators of clients make one class of each."""

    JOBS = "jobs"
    OUTPUT = "output"
    FILES = "files"
    SERVICE = "service"


P = TypeVar("P")
# None: the response was sent already.
Handler = Callable[[Request, P], Awaitable[HTTPResponse | None]]


class Success(msgspec.Struct, frozen=True):
    """A response that is no problem: a JSON body of the type `body`, or `content` as it is.
    `or_body`: the type that it has instead, where parameters ask for that.
    """

    status: int
    meaning: str
    body: type | None = None
    or_body: type | None = None
    content: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()


class Link(msgspec.Struct, frozen=True):
    """Another operation that takes a part of the response; `source` is a runtime expression."""

    operation: str
    source: str
    parameter: str = "ID"


class Route(msgspec.Struct, Generic[P], frozen=True, kw_only=True):
    """One method of one path, whose segments in braces are parameters.

    `parameters`: the dataclass that the handler gets (`service.api.parameters`); `any_query`:
    undeclared query parameters are ignored, not refused. `scope`: what a token must have;
    `is_public`: none is needed; `proves_itself`: none either, for what is needed comes in the body
    or in a cookie. `body`: the type of a JSON body, which must then be sent, unless
    `body_is_optional`; `media`: what its media type may be, none: any. `is_streamed`: the handler
    reads the body itself, which is bytes of any number, or none; they needn't be given a type.
    `details`: what a caller should know beyond the `meaning`, as sentences; `agreement`: which
    parameters go together.
    """

    method: str
    path: str
    operation: str
    meaning: str
    parameters: type[P]
    scope: Scope
    successes: tuple[Success, ...]
    problems: tuple[type[JobrunnerError], ...] = ()
    links: tuple[Link, ...] = ()
    body: type | None = None
    body_is_optional: bool = False
    media: tuple[str, ...] = (JSON,)
    is_streamed: bool = False
    any_query: bool = False
    is_public: bool = False
    proves_itself: bool = False
    cost: Cost = Cost.SHORT
    tag: Tag = Tag.JOBS
    details: str = ""
    agreement: Agreement = NOTHING_AGREED

    def __post_init__(self) -> None:
        """Raises: ValueError, for a declaration that contradicts itself."""
        in_path = re.findall(r"{(\w+)}", self.path)
        declared = [p.name for p in parameters(self.parameters).values() if p.where is Where.PATH]
        if in_path != declared:
            raise ValueError(f"{self.path} has the parameters {in_path}, declared are {declared}")
        if self.is_public and (self.public_path == "/" or self.method != "GET"):
            raise ValueError(f"{self.path} can't be public: it is any path, or changes things")

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that it is registered for."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def public_path(self) -> str | None:
        """Where anybody may call: the path, or what stands before its first parameter."""
        return self.path.partition("{")[0] if self.is_public or self.proves_itself else None

    @property
    def pattern(self) -> str:
        """The path as Sanic's router takes it."""
        declared = parameters(self.parameters).values()
        rest = {p.name for p in declared if p.where is Where.PATH and p.is_rest}
        return re.sub(
            r"{(\w+)}", lambda m: f"<{m[1]}:{'path' if m[1] in rest else 'str'}>", self.path
        )


class Routes:
    """The routes of one module with their handlers, in the order in which they are declared."""

    def __init__(self) -> None:
        self._routes: list[tuple[Route[Any], Handler[Any]]] = []

    def __iter__(self) -> Iterator[tuple[Route[Any], Handler[Any]]]:
        return iter(self._routes)

    def add(self, route: Route[P]) -> Callable[[Handler[P]], Handler[P]]:
        """Add `route` with the handler that it decorates."""

        def decorate(handler: Handler[P]) -> Handler[P]:
            self._routes.append((route, handler))
            return handler

        return decorate

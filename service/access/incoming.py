"""What is known of a request before it is decided on, and what its route needs of its caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from service.access.scopes import Scope

_JSON: Final = "application/json"


class Incoming(Protocol):
    """What a request says of itself and of its caller. Each is read only if the decision needs it.

    Headers are as they were sent, with each value that was given.
    """

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def head(self) -> bytes: ...

    @property
    def host(self) -> str | None: ...

    @property
    def origins(self) -> Sequence[str]: ...

    @property
    def fetch_sites(self) -> Sequence[str]: ...

    @property
    def authorizations(self) -> Sequence[str]: ...

    @property
    def login(self) -> str | None:
        """The cookie of a login."""

    @property
    def is_navigation(self) -> bool:
        """Whether a browser's user follows a link to a page of ours, in a window of its own."""

    @property
    def certificate_name(self) -> str | None:
        """The common name of a verified client certificate."""

    @property
    def content_type(self) -> str | None: ...

    @property
    def has_body(self) -> bool: ...

    @property
    def local_ip(self) -> str | None:
        """This end of the connection; None for a Unix socket."""

    @property
    def client_ip(self) -> str: ...

    @property
    def peer_uid(self) -> int | None:
        """The user who connected, over a Unix socket."""


class Needs(msgspec.Struct, frozen=True):
    """What a route needs of its caller. `changes`: it changes something. `public_path`: a request
    for exactly this path needs no token; for any other spelling that leads there it does. Where it
    ends with a slash it is the beginning of such paths. `media`:
    the types of its body; none of them is one that a page of another site can send unasked. None at
    all: it may be of any, as its method is none that a page can use unasked.
    `untyped`: a body may have no type; a browser says by other headers which page sends it.
    """

    scope: Scope
    changes: bool
    public_path: str | None = None
    media: tuple[str, ...] = (_JSON,)
    untyped: bool = False

    def lets_anybody(self, path: str) -> bool:
        """Whether a request for that path needs no token."""
        public = self.public_path
        if public is None:
            return False
        return path == public or (len(public) > 1 and public[-1] == "/" and path.startswith(public))

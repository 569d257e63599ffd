"""A path under which a proxy has the service, whether it strips it or passes it on.

References in responses begin with it, so they lead through the proxy. A reference that is relative
to the request's path would not do: `POST /jobs` and `POST /jobs/` resolve it differently. Source:
RFC 3986, section 5.2.
"""

from __future__ import annotations

from typing import Any

from service.web.request import Request


def without(prefix: bytes, url: bytes) -> bytes:
    """The target of a request, from behind the prefix on if it begins with that."""
    rest = url.removeprefix(prefix)
    if rest == url or rest[:1] not in (b"", b"/", b"?"):
        return url
    return rest if rest.startswith(b"/") else b"/" + rest


def request_class(prefix: str) -> type[Request]:
    """The class of the app's requests; with a prefix its paths are those behind it."""
    if not prefix:
        return Request
    encoded = prefix.encode("ascii")

    class PrefixedRequest(Request):
        __slots__ = ()

        def __init__(self, url_bytes: bytes, *others: Any, **more: Any) -> None:
            super().__init__(without(encoded, url_bytes), *others, **more)

    return PrefixedRequest

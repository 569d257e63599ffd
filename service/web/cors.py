"""CORS: what a browser is told so that pages of the sites that the operator names may call.

A page authenticates with a token in `Authorization`, which only its own script can add. Cookies and
client certificates, which a browser adds by itself, are never asked for: no response has
`Access-Control-Allow-Credentials`. Whether a request is served is `service.access.admission`'s to
decide; without these headers a browser would hide the response from the page.

Source: Fetch, section 3.2; Private Network Access, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sanic import HTTPResponse

from service.web.request import Request

# Seconds: the longest that Chromium keeps an answer for. A site that is taken out of the setting is
# refused at its next request all the same.
_MAX_AGE_S: Final = 7200
_WANTED_METHOD: Final = "access-control-request-method"
_WANTS_PRIVATE: Final = "access-control-request-private-network"


def is_preflight(request: Request) -> bool:
    """Whether a browser asks if a page may send a request."""
    return request.method == "OPTIONS" and _WANTED_METHOD in request.headers


class Cors:
    """The headers, for an app that takes these `methods` and `headers`, and responds with
    `exposed` ones.
    """

    def __init__(
        self,
        allowed_origins: frozenset[str],
        *,
        methods: Iterable[str],
        headers: Iterable[str],
        exposed: Iterable[str],
    ) -> None:
        self._allowed = allowed_origins
        self._exposed = ", ".join(sorted(exposed))
        self._preflight = {
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": ", ".join(sorted(headers)),
            "Access-Control-Max-Age": str(_MAX_AGE_S),
        }

    def preflight(self, request: Request) -> HTTPResponse | None:
        """The response to a preflight of an allowed page; None for any other request."""
        if not is_preflight(request) or not self._origin(request):
            return None
        headers = dict(self._preflight)
        if request.headers.get(_WANTS_PRIVATE) == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        return HTTPResponse(status=204, headers=headers)

    def add_to(self, headers: Any, request: Request) -> None:
        """Add to the `headers` of a response what makes it readable for the page that asked. A
        cache must not give it to another page, whoever asked.
        """
        vary = headers.get("vary")
        headers["vary"] = f"{vary}, Origin" if vary else "Origin"
        if origin := self._origin(request):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = self._exposed

    def _origin(self, request: Request) -> str | None:
        origins = request.headers.getall("origin", ())
        return origins[0] if len(origins) == 1 and origins[0] in self._allowed else None

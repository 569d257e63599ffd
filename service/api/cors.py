"""Which requests of pages of other sites are possible: all that the routes declare."""

from __future__ import annotations

from typing import Final

from service.api.parameters import Where, parameters
from service.api.routes import ROUTES
from service.web.cors import Cors

# Headers of requests that HTTP knows, and no route declares.
_OF_HTTP: Final = frozenset({"Authorization", "Content-Type", "Last-Event-ID"})
# Headers of responses, besides those that the description of the API names.
_OF_RESPONSES: Final = frozenset({"Allow", "Content-Disposition", "Content-Length"})


def cors(allowed_origins: frozenset[str]) -> Cors | None:
    """None when no other site may call."""
    if not allowed_origins:
        return None
    from service.api.description import HEADERS  # noqa: PLC0415 - most services need it later only

    declared = {
        parameter.name
        for route in ROUTES
        for parameter in parameters(route.parameters).values()
        if parameter.where is Where.HEADER
    }
    return Cors(
        allowed_origins,
        methods={method for route in ROUTES for method in route.methods},
        headers=declared | _OF_HTTP,
        exposed=set(HEADERS) | _OF_RESPONSES,
    )

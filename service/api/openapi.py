"""`GET /openapi.json`: the description of the API, made at the first request for it."""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec
from sanic import HTTPResponse, Sanic

from service.access.scopes import Scope
from service.api.parameters import NoParameters
from service.api.registration import declared
from service.api.route import JSON, Route, Routes, Success, Tag
from service.web.request import Request

routes: Final = Routes()


@routes.add(
    Route(
        method="GET",
        path="/openapi.json",
        operation="openapi",
        meaning="This description.",
        parameters=NoParameters,
        any_query=True,
        tag=Tag.SERVICE,
        scope=Scope.READ,
        successes=(Success(200, "OpenAPI 3.1.", dict),),
    )
)
async def openapi(request: Request, _given: NoParameters) -> HTTPResponse:
    """The description; the same bytes from every worker of a release."""
    return HTTPResponse(_encoded(request.app), content_type=JSON)


@functools.cache
def _encoded(app: Sanic[Any, Any]) -> bytes:
    from service.api.description import document  # noqa: PLC0415 - no start needs it

    return msgspec.json.encode(document(declared(app), app.ctx.settings.prefix)) + b"\n"

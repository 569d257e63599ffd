"""`GET /openapi.json`: the description of the API, made once, when it is first asked for."""

from __future__ import annotations

import functools

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from service.api.problems import ERROR_FORMAT

openapi = Blueprint("openapi")


@openapi.route("/openapi.json", methods=["GET", "HEAD"], name="openapi", error_format=ERROR_FORMAT)
async def describe(_request: Request) -> HTTPResponse:
    """The description; the same bytes from every worker of a release."""
    return HTTPResponse(_encoded(), content_type="application/json")


@functools.cache
def _encoded() -> bytes:
    from service.api.description import document  # noqa: PLC0415 - no start needs it

    return msgspec.json.encode(document()) + b"\n"

"""Responses of the API: JSON, with a line end for people with a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
from sanic import HTTPResponse

from service.api.route import JSON


def json_response(
    value: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> HTTPResponse:
    """A response with `value` as JSON."""
    return HTTPResponse(
        msgspec.json.encode(value) + b"\n", status=status, headers=headers, content_type=JSON
    )

"""The service, which pings the clients of WebSockets as fast as a test can wait for it."""

from __future__ import annotations

from typing import Any

from sanic import Sanic

from service.app import create_app
from service.web import websocket

websocket.PING_S = 0.1  # type: ignore[misc]


def make(arguments: Any = None) -> Sanic[Any, Any]:
    return create_app(arguments)

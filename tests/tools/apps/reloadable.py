"""The service, with a route that reloads its workers as an upgrade of the code does."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic, text

from service.app import create_app


def make(arguments: Any = None) -> Sanic[Any, Any]:
    app = create_app(arguments)

    @app.post("/restart-all")
    async def restart_all(request: Request) -> HTTPResponse:
        request.app.m.restart(all_workers=True)
        return text("")

    return app

"""The service, with a route that has Sanic's main process fail, or end, though nobody asked it to."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic, text

from service.app import create_app


def make(arguments: Any = None) -> Sanic[Any, Any]:
    app = create_app(arguments)

    @app.post("/fail-main")
    async def fail_main(request: Request) -> HTTPResponse:
        request.app.m.scale(0)  # an exception in its loop
        return text("")

    @app.post("/end-main")
    async def end_main(request: Request) -> HTTPResponse:
        request.app.m.terminate()  # its loop ends, in order
        return text("")

    return app

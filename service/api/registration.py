"""Declared routes become Sanic's: a request has its parameters parsed, then reaches its handler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sanic import HTTPResponse, Sanic

from service.access.incoming import Needs
from service.api.pages import PAGES, wants_page
from service.api.parameters import Parser
from service.api.problems import ERROR_FORMAT
from service.api.route import JSON, Handler, Route
from service.errors import UnsupportedMediaType
from service.settings import PREFIX, SettingError
from service.web.request import Request


def register(app: Sanic[Any, Any], routes: Iterable[tuple[Route[Any], Handler[Any]]]) -> None:
    """Add `routes` to the app. What is said of each stands in the `ctx` of Sanic's own route."""
    for route, handler in routes:
        page = PAGES.get(route.operation)
        app.add_route(
            _dispatcher(route, handler if page is None else _either(handler, page)),
            route.pattern,
            methods=route.methods,
            name=route.operation,
            error_format=ERROR_FORMAT,
            stream=route.is_streamed,
            ctx_declared=route,
            ctx_needs=_needs(route),
            ctx_template=route.path,
            ctx_cost=route.cost,
            ctx_has_page=page is not None,
        )


def check_prefix(prefix: str, routes: Iterable[tuple[Route[Any], Handler[Any]]]) -> None:
    """Raises: SettingError, when a route begins with the same segment: which is meant?"""
    _, _, first = prefix.partition("/")
    first = first.partition("/")[0]
    taken = {route.path.split("/")[1] for route, _ in routes}
    if first and first in taken:
        variable = f"{PREFIX}PREFIX"
        raise SettingError(
            variable, prefix, f"a path that doesn't begin with /{first}, as a route does"
        )


def declared(app: Sanic[Any, Any]) -> list[Route[Any]]:
    """The routes that were registered, in their order."""
    found = (getattr(route.ctx, "declared", None) for route in app.router.routes)
    return [route for route in found if route is not None]


def _needs(route: Route[Any]) -> Needs:
    changes = route.method != "GET"
    return Needs(route.scope, changes, route.public_path, route.media, untyped=route.is_streamed)


def _either(handler: Handler[Any], page: Handler[Any]) -> Handler[Any]:
    """What responds with a page to who prefers one."""

    async def respond(request: Request, given: Any) -> HTTPResponse | None:
        if wants_page(request):
            return await page(request, given)
        response = await handler(request, given)
        assert response is not None  # noqa: S101 - no stream has a page
        response.headers["Vary"] = "Accept"
        return response

    return respond


def _dispatcher(route: Route[Any], handler: Handler[Any]) -> Any:
    parse = Parser(route.parameters, any_query=route.any_query).parse
    needs_body = route.body is not None and not route.body_is_optional

    # Not a coroutine: the handler's own is awaited by Sanic.
    def dispatch(request: Request, **path: str) -> Any:
        if needs_body and "content-type" not in request.headers:  # admission checks a given one
            raise UnsupportedMediaType(f"Send the header 'Content-Type: {JSON}'; got none.")
        return handler(request, parse(path, request.query_string, request.headers))

    return dispatch

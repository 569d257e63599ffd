"""`GET /static/…`: what the page loads. There is no data in it, so anybody may have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sanic import HTTPResponse

from service.access.scopes import Scope
from service.api import forms
from service.api.pages import assets
from service.api.parameters import path
from service.api.route import Route, Routes, Success, Tag
from service.errors import UnknownRoute
from service.web.request import Request

routes: Final = Routes()

# Seconds: a year, which is as long as anything is kept.
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    tree: str = path(forms.text(), "What stands for all of them.", name="TREE")
    name: str = path(forms.text(), "Which of them.", name="PATH", is_rest=True)


@routes.add(
    Route(
        method="GET",
        path="/static/{TREE}/{PATH}",
        operation="static",
        meaning="A file that the page for people loads.",
        parameters=StaticFile,
        any_query=True,
        tag=Tag.SERVICE,
        scope=Scope.READ,
        is_public=True,
        successes=(Success(200, "The file.", content=("*/*",)),),
        problems=(UnknownRoute,),
    )
)
async def static(request: Request, given: StaticFile) -> HTTPResponse:
    """A static file. Raises: UnknownRoute."""
    from service.ui.assets import accepted_codings  # noqa: PLC0415 - no page, no need
    from service.ui.policy import STATIC  # noqa: PLC0415 - no page, no need

    codings = accepted_codings(request.headers.get("accept-encoding", ""))
    found = assets().find(given.tree, given.name, codings)
    if found is None:
        raise UnknownRoute(f"There is no file {request.path[:200]}.")
    headers = {
        **STATIC,
        "Cache-Control": _FOR_EVER if found.is_current else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if found.coding is not None:
        headers["Content-Encoding"] = found.coding
    return HTTPResponse(found.body, headers=headers, content_type=found.content_type)

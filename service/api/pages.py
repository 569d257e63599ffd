"""The page in the place of JSON: for whom, and what of a job or of a list goes into it.

Nothing of `service.ui` but a look at `Accept` is loaded before somebody wants a page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from sanic import HTTPResponse, exceptions

from service.access.scopes import Scope
from service.api.callers import audit, check_sees
from service.api.cursor import Cursor
from service.api.job_view import job_view
from service.api.present_view import present_view
from service.api.route import Handler
from service.errors import CorruptLog, JobrunnerError, Unauthenticated
from service.jobs.states import JOB_STATES, State
from service.output.reader import LogReader
from service.store import Order
from service.ui.accept import prefers_html
from service.web.request import Request

if TYPE_CHECKING:
    from service.ui.assets import Assets
    from service.ui.shell import Shell

# Rows of a list that nobody filters and scrolls through by a script.
_ROWS: Final = 100
# Bytes of output that are read without one.
_LAST_BYTES: Final = 64 << 10
_HTML: Final = "text/html; charset=utf-8"


@cache
def assets() -> Assets:
    """The static files, of this worker."""
    from service.ui.assets import Assets  # noqa: PLC0415 - nobody needs it before the first page

    return Assets()


def wants_page(request: Request) -> bool:
    """Whether the caller prefers HTML to JSON."""
    given = request.headers.getall("accept", ())
    return bool(given) and prefers_html(",".join(given))


async def list_page(request: Request, given: Any) -> HTTPResponse:
    """`GET /`: the jobs that the parameters select, newest first unless they say otherwise."""
    from service.ui import plain  # noqa: PLC0415 - nobody needs it before the first page

    ctx, shell = request.app.ctx, _shell(request)
    asked = dict(parse_qsl(request.query_string))
    if "order" not in asked:
        given = replace(given, order=Order.NEWEST)
    if "state" not in asked and given.exit is None and given.reason is None:
        given = replace(given, state=frozenset(JOB_STATES))
    given = replace(given, limit=min(given.limit, _ROWS))
    at = given.at(time.time_ns())
    seq = ctx.engine.jobs.feed.last()  # before the list: what changes meanwhile is told twice
    page = await ctx.engine.page(given.query(at), request.principal.visibility, full=True)
    # In a thread: each view may read a log.
    views = await asyncio.to_thread(lambda: [job_view(r, ctx.settings) for r in page.records])
    following: dict[str, str] = {}
    if page.next is not None:
        following = {**asked, "order": given.order.value}
        following["after"] = str(Cursor(given.order, page.next, at if given.since else None))
    body = plain.job_list(shell.prefix, views, page.total, asked.get("state", "all"), following)
    return _respond(shell.document("list", "Jobs · jobrunner", body, seq=seq))


async def job_page(request: Request, given: Any) -> HTTPResponse:
    """`GET /<ID>`: the job with its last output. Raises: UnknownJob, Unavailable."""
    from service.ui import plain  # noqa: PLC0415 - nobody needs it before the first page

    ctx, shell = request.app.ctx, _shell(request)
    check_sees(request, given.job_id)
    seq = ctx.engine.jobs.feed.last()
    record = ctx.engine.jobs.show(given.job_id)
    view = await present_view(ctx, record, None)
    audit(request, "output", given.job_id)
    output, size = b"", 0
    if record.state is not State.PENDING:
        log = ctx.engine.jobs.files(record.id).log
        output, size = await asyncio.to_thread(_last_output, log)
    html = shell.document(
        "job",
        f"{plain.shape(view)} {view.name or view.id[:8]} · jobrunner",
        plain.job(shell.prefix, view, output, size),
        id=record.id,
        seq=seq,
        principal=record.principal,
    )
    return _respond(html)


def error_page(
    request: Any, error: JobrunnerError, headers: Mapping[str, str]
) -> HTTPResponse | None:
    """The page of an error, if the request may be for a page and wants one: of one that isn't
    authenticated the login.
    """
    if not has_page(request):
        return None
    if not wants_page(request):
        return None
    from service.ui import plain  # noqa: PLC0415 - nobody needs it before the first page

    shell, job_id = _shell(request), request.path.strip("/") or None
    if isinstance(error, Unauthenticated):
        html = shell.document("login", "Log in · jobrunner", plain.login(), id=job_id)
    else:
        body = plain.error(error.title, error.detail)
        title = f"{error.title} · jobrunner"
        html = shell.document("error", title, body, title=error.title, detail=error.detail)
    return _respond(html, status=error.status, headers=headers)


def has_page(request: Any) -> bool:
    """Whether what is asked for may be had as a page."""
    try:
        # Admission comes before Sanic's own look-up, which finds this in the router's cache.
        route, _, _ = request.app.router.get(request.path, request.method, None)
    except (exceptions.SanicException, AttributeError):
        return False
    return bool(getattr(route.ctx, "has_page", False))


def _shell(request: Any) -> Shell:
    from service.ui.shell import Shell  # noqa: PLC0415 - nobody needs it before the first page

    principal = request.principal
    return Shell(
        prefix=request.app.ctx.settings.prefix,
        tree=assets().hash(),
        loads=assets().of_view,
        user=principal.name,
        scopes=tuple(scope.value for scope in Scope if principal.may(scope)),
        by_login=principal.login is not None,
    )


def _last_output(log: str) -> tuple[bytes, int]:
    """The last bytes, none of which was dropped, and how many there are. From any thread."""
    try:
        with LogReader.open(log) as reader:
            state = reader.whole_state()
            begin = max(state.end - _LAST_BYTES, state.gap.end, 0)
            return reader.read(begin, _LAST_BYTES, end=state.end), state.end
    except (CorruptLog, FileNotFoundError):
        return b"", 0


def _respond(
    html: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    from service.ui.policy import page_headers  # noqa: PLC0415 - as above

    every = {**page_headers(), **(headers or {})}
    return HTTPResponse(html, status=status, headers=every, content_type=_HTML)


PAGES: Final[Mapping[str, Handler[Any]]] = {"list": list_page, "show": job_page}

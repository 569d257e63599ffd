"""`GET /`: pages of jobs, in several orders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict
from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.cursor import SCHEMA, Cursor, parse_cursor
from service.api.forms import Form
from service.api.job_view import job_view
from service.api.parameters import optional, query
from service.api.responses import json_response
from service.api.route import Link, Route, Routes, Success
from service.api.selectors import Selectors
from service.jobs.record import JobRecord, LiveUsage
from service.jobs.views import JobView, Listing
from service.kinds import UnderWay
from service.settings import Settings
from service.store import Order, Query
from service.web.request import Request

routes: Final = Routes()

# A page of full views is two megabytes.
MAX_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class List(Selectors):
    order: Order = query(
        forms.one_of({order.value: order for order in Order}),
        "By submission, or the most first by what was used: `cpu` seconds, `memory` (held now, by"
        " finished jobs at most), bytes of `output`.",
        default=Order.OLDEST,
    )
    limit: int = query(forms.integer(1, MAX_LIMIT), "Jobs of a page.", default=MAX_LIMIT)
    after: Cursor | None = optional(
        Form(parse_cursor, "a cursor that Next gave", SCHEMA),
        "The `Next` of the page before.",
    )
    full: bool = query(
        forms.one_of({"full": True, "ids": False}),
        "`full` adds `Jobs`.",
        default=False,
        name="view",
    )

    def at(self, now: int) -> int:
        """The time from which durations are counted: that of the first page."""
        return now if self.after is None or self.after.at is None else self.after.at

    def query(self, at: int) -> Query:
        """Raises: BadQuery, for parameters that contradict each other."""
        if self.after is not None and self.after.order is not self.order:
            raise errors.BadQuery(
                "The query parameters 'after' and 'order' contradict each other: the cursor is of"
                f" a list with order={self.after.order.value}."
            )
        position = self.after.position if self.after is not None else None
        return Query(
            **asdict(self.selection(at)), order=self.order, limit=self.limit, after=position
        )


@routes.add(
    Route(
        method="GET",
        path="/",
        operation="list",
        meaning="Jobs, oldest first, or in another order.",
        details="Whoever prefers `text/html` gets a page for people instead.",
        parameters=List,
        scope=Scope.READ,
        successes=(Success(200, "One page.", Listing, headers=("Link",)),),
        problems=(errors.BadQuery,),
        links=(
            Link("show", "$response.body#/IDs/0"),
            Link("list", "$response.body#/Next", "after"),
        ),
    )
)
async def list_jobs(request: Request, given: List) -> HTTPResponse:
    """One page of jobs, and a link to the next. Raises: BadQuery, Unavailable."""
    ctx = request.app.ctx
    at = given.at(time.time_ns())
    wanted = given.query(at)
    page = await ctx.engine.page(wanted, request.principal.visibility, full=given.full)
    views: list[JobView] | UnsetType = UNSET
    if given.full:
        used = await ctx.engine.live_usage.of(page.records)
        # In a thread: each view may read a log.
        elsewhere = await ctx.engine.elsewhere.of(page.records)
        views = await asyncio.to_thread(_views, page.records, ctx.settings, used, elsewhere)
    if page.next is None:
        return json_response(Listing(page.ids, page.total, views))
    is_relative = any(m is not None and m.is_back for m in (given.since, given.until))
    after = str(Cursor(given.order, page.next, at if is_relative else None))
    others = [p for p in parse_qsl(request.query_string) if p[0] != "after"]
    following = urlencode([*others, ("after", after)])
    headers = {"Link": f'<{ctx.settings.prefix}/?{following}>; rel="next"'}
    return json_response(Listing(page.ids, page.total, views, after), headers=headers)


def _views(
    records: Iterable[JobRecord],
    settings: Settings,
    used: Mapping[str, LiveUsage],
    elsewhere: UnderWay,
) -> list[JobView]:
    return [job_view(record, settings, used.get(record.id), elsewhere) for record in records]

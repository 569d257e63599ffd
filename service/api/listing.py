"""`GET /`: pages of jobs, oldest first."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from msgspec import UNSET, UnsetType
from sanic import HTTPResponse

from service import errors
from service.access.scopes import Scope
from service.api import forms
from service.api.forms import Form, Unfit
from service.api.job_view import job_view
from service.api.parameters import optional, query, repeated
from service.api.responses import json_response
from service.api.route import Link, Route, Routes, Success
from service.jobs.lifecycle import JOB_STATES, LIVE, State
from service.jobs.record import JobRecord, LiveUsage
from service.jobs.views import JobView, Listing
from service.settings import Settings
from service.store import Query
from service.web.request import Request

routes: Final = Routes()

# A page of full views is two megabytes.
MAX_LIMIT: Final = 1000
_STATES: Final = {state.value: state for state in JOB_STATES}


def _states(text: str) -> frozenset[State]:
    if text == "all":
        return frozenset(JOB_STATES)
    words = text.split(",")
    for word in words:
        if word not in _STATES:
            raise Unfit(word)
    return frozenset(_STATES[word] for word in words)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Unfit(text)
    return key, value


def cursor(seq: int) -> str:
    """The opaque `Next` that `after` takes."""
    return base64.urlsafe_b64encode(f"s{seq}".encode()).decode().rstrip("=")


def _seq(text: str) -> int:
    """Of a cursor."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        seq = decoded.decode("ascii")
    except (binascii.Error, ValueError):
        seq = ""
    digits = seq.removeprefix("s")
    if not seq.startswith("s") or not digits.isdigit() or len(digits) > 18:
        raise Unfit(text)
    return int(digits)


_STATE: Final = "|".join(_STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    state: frozenset[State] | None = optional(
        Form(
            _states,
            f"all, or any of {', '.join(_STATES)}, separated by commas",
            {"type": "string", "pattern": f"^(all|({_STATE})(,({_STATE}))*)$"},
        ),
        "The states wanted, separated by commas, or `all`; live ones when not given.",
    )
    name: str | None = optional(forms.text(), "Jobs of this name.")
    label: tuple[tuple[str, str], ...] = repeated(
        Form(_label, "'name=value'", {"type": "string", "pattern": "^[^=]+="}),
        "`name=value`: jobs with this label. Repeated: with all of them.",
    )
    limit: int = query(forms.integer(1, MAX_LIMIT), "Jobs of a page.", default=MAX_LIMIT)
    after: int | None = optional(
        Form(_seq, "a cursor that Next gave", {"type": "string"}), "The `Next` of the page before."
    )
    full: bool = query(
        forms.one_of({"full": True, "ids": False}),
        "`full` adds `Jobs`.",
        default=False,
        name="view",
    )


@routes.add(
    Route(
        method="GET",
        path="/",
        operation="list",
        meaning="Jobs, oldest first.",
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
    """One page of jobs, and a link to the next. Raises: Unavailable."""
    ctx = request.app.ctx
    wanted = Query(
        states=LIVE if given.state is None else given.state,
        name=given.name,
        labels=given.label,
        limit=given.limit,
        after=given.after or 0,
    )
    page = ctx.engine.page(wanted, request.principal.visibility, full=given.full)
    views: list[JobView] | UnsetType = UNSET
    if given.full:
        used = await ctx.engine.usage(page.records)
        # In a thread: each view may read a log.
        views = await asyncio.to_thread(_views, page.records, ctx.settings, used)
    if page.next is None:
        return json_response(Listing(page.ids, views))
    after = cursor(page.next)
    others = [p for p in parse_qsl(request.query_string) if p[0] != "after"]
    following = urlencode([*others, ("after", after)])
    headers = {"Link": f'</?{following}>; rel="next"'}
    return json_response(Listing(page.ids, views, after), headers=headers)


def _views(
    records: Iterable[JobRecord], settings: Settings, used: Mapping[str, LiveUsage]
) -> list[JobView]:
    return [job_view(record, settings, used.get(record.id)) for record in records]

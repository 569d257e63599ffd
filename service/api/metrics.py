"""For Prometheus: the numbers of the whole service, whichever worker answers."""

from __future__ import annotations

import asyncio

from sanic import Blueprint, HTTPResponse, Request

from service.api.problems import ERROR_FORMAT
from service.metrics.exposition import Stored, exposition
from service.store import FreeSpace, Store

metrics = Blueprint("metrics")


@metrics.route("/metrics", methods=["GET", "HEAD"], name="metrics", error_format=ERROR_FORMAT)
async def scrape(request: Request) -> HTTPResponse:
    """The series in the format that is asked for. Raises: Unavailable."""
    store: Store = request.app.ctx.store
    free = FreeSpace.of(request.app.ctx.settings.state_dir)
    stored = Stored(store.counts(), store.finished.totals().disk_bytes, free.bytes, free.inodes)
    accept = request.headers.get("accept", "")
    # In a thread: to read the files of many workers takes some milliseconds.
    text, content_type = await asyncio.to_thread(
        exposition, request.app.ctx.metrics, stored, accept
    )
    return HTTPResponse(text, content_type=content_type)

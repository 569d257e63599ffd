"""The view of a job in a response: with what it uses now, and with an excerpt of its output."""

from __future__ import annotations

import asyncio
import errno
from typing import Final

from msgspec.structs import replace

from service.api import forms
from service.api.job_view import job_view
from service.api.parameters import optional
from service.errors import CorruptLog
from service.jobs.record import JobRecord
from service.jobs.states import State
from service.jobs.views import ExcerptView, JobView
from service.output.excerpt import Excerpt, excerpt
from service.output.read_excerpt import read_excerpt
from service.web.context import Context

# Bytes of an excerpt: more is read in ranges.
_MAX_BYTES: Final = 1 << 20
# Bytes from which on a thread reads and decodes them, so that nobody waits for that.
_QUICK_BYTES: Final = 64 << 10


def excerpt_parameter() -> int | None:
    """Declare `output`, the bytes of an excerpt; None: none is wanted."""
    return optional(
        forms.integer(0, _MAX_BYTES),
        "Adds `Excerpt`: both ends of the output, in so many bytes of text at most.",
        name="output",
    )


async def present_view(ctx: Context, record: JobRecord, excerpt_bytes: int | None) -> JobView:
    """The job as it stands now. Raises: Unavailable."""
    used = await ctx.engine.live_usage.of([record])
    # Not in a thread: to wake one takes longer than to read one index.
    elsewhere = await ctx.engine.elsewhere.of([record])
    view = job_view(record, ctx.settings, used.get(record.id), elsewhere)
    if record.state is State.RUNNING and (view.stdin or view.tty is not None):
        waits = await ctx.engine.interaction.waits_for_input(record.id)
        view = replace(view, waiting_for_input=waits)
    if excerpt_bytes is None:
        return view
    recorded = 0 if record.state is State.PENDING else record.output_bytes
    found = await _excerpt(ctx.engine.jobs.files(record.id).log, recorded, excerpt_bytes)
    return replace(view, excerpt=ExcerptView(*found))


async def _excerpt(log: str, recorded: int | None, limit: int) -> Excerpt:
    if recorded == 0:
        return Excerpt("", (0, 0), (0, 0), None)
    try:
        if limit <= _QUICK_BYTES:
            try:
                return read_excerpt(log, limit, wait=False)
            except BlockingIOError:
                pass  # the disk is to be waited for
        return await asyncio.to_thread(read_excerpt, log, limit)
    except (CorruptLog, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno in (errno.EMFILE, errno.ENFILE):
            raise
        # No log is there yet, or what the record tells of is lost.
        size = recorded or 0
        return excerpt(size, (0, size), limit, b"", b"")

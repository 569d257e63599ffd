"""What commands of jobs that are over left out of their supervisor's reach, and its removal."""

from __future__ import annotations

import asyncio

import structlog

from service.jobs.errors import JobrunnerError
from service.jobs.lifecycle import LIVE
from service.kinds import KINDS, CannotRun, Kind
from service.settings import Settings
from service.store import Store

_log = structlog.get_logger("jobrunner.engine")


async def remove_leftovers(settings: Settings, store: Store) -> None:
    """Remove what belongs to no live job. Where it can't be looked for, nothing happens."""
    for kind in KINDS.values():
        try:
            await _remove(kind, settings, store)
        except CannotRun as exc:
            _log.info("leftovers_not_looked_for", kind=kind.name, why=str(exc))
        except JobrunnerError as exc:
            _log.error("leftovers_not_removed", kind=kind.name, error=exc.detail)


async def _remove(kind: Kind, settings: Settings, store: Store) -> None:
    found = await asyncio.to_thread(kind.leftovers, settings)
    # Looked up after they were listed: a job that began since then has nothing in the list.
    left = [leftover for leftover in found if store.state_of(leftover.job_id) not in LIVE]
    if left:
        await asyncio.to_thread(kind.remove, settings, left)
        _log.info("leftovers_removed", kind=kind.name, names=[leftover.name for leftover in left])

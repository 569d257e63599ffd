"""Removal of orphans: what commands of dead jobs left outside of the supervisor's reach."""

from __future__ import annotations

import asyncio

import structlog

from service.errors import JobrunnerError
from service.jobs.states import LIVE
from service.kinds import KINDS, CannotRun, Kind
from service.settings import Settings
from service.store import Store

_log = structlog.get_logger("jobrunner.engine")


async def remove_orphans(settings: Settings, store: Store) -> None:
    """Remove what belongs to no live job; nothing of a Kind whose orphans can't be listed."""
    for kind in KINDS.values():
        try:
            await _remove(kind, settings, store)
        except CannotRun as exc:
            _log.info("orphans_not_listed", kind=kind.name, why=str(exc))
        except JobrunnerError as exc:
            _log.error("orphans_not_removed", kind=kind.name, error=exc.detail)


async def _remove(kind: Kind, settings: Settings, store: Store) -> None:
    found = await asyncio.to_thread(kind.orphans, settings)
    # Looked up after the listing: a job that began since then is not in the list.
    orphans = [orphan for orphan in found if store.state_of(orphan.job_id) not in LIVE]
    if orphans:
        await asyncio.to_thread(kind.remove_orphans, settings, orphans)
        _log.info("orphans_removed", kind=kind.name, names=[orphan.name for orphan in orphans])

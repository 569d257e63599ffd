"""What a stop of the service that ends no job does about drains, and what the next start does."""

from __future__ import annotations

import asyncio

import structlog

from service.operations import drain
from service.operations.drain import Resumed
from service.operations.supervisor import NoSupervisor
from service.settings import Settings

_log = structlog.get_logger("jobrunner.app")


def began(settings: Settings) -> None:
    """The service starts: a drain that an earlier stop made, or met, is over. Blocks."""
    try:
        asyncio.run(drain.began(settings.state_dir))
    except NoSupervisor as exc:
        _log.error("drain_not_ended", why=str(exc))


async def left(settings: Settings) -> None:
    """The service was told to stop, and leaves its jobs: the next start ends a drain."""
    try:
        await drain.stopped(settings.state_dir)
    except NoSupervisor as exc:
        _log.warning("drain_not_marked", why=str(exc))


async def wait_for_jobs(settings: Settings) -> None:
    """Take no new job, and wait until none runs, or for as long as the settings allow."""
    bound_s = settings.shutdown_timeout or None
    try:
        begun = await drain.drain(settings.state_dir, until_start=True)
        _log.info("draining", running=begun.running, pending=begun.pending, bound_s=bound_s)
        async with asyncio.timeout(bound_s):
            await drain.wait_drained(settings.state_dir, until_start=True)
    except TimeoutError:
        _log.warning("drain_timed_out", bound_s=bound_s, jobs="left for the next service")
    except Resumed:
        _log.warning("drain_ended", jobs="left for the next service")
    except NoSupervisor as exc:
        _log.error("drain_failed", why=str(exc), jobs="left for the next service")
    else:
        _log.info("drained")

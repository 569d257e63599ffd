"""Ending all jobs when the service stops for good, and recording how they ended.

Done by the main process once no worker is left: a stopping worker can't tell a reload from a
shutdown, and hands over in both.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack, closing
from typing import Final

import structlog

from service.engine.changes import Changes
from service.engine.driver import Driver
from service.engine.record_writer import RecordWriter
from service.link.launch import REACH_S, SupervisorFailed, reach
from service.link.session import ConnectionLost, OtherProtocol, SupervisorSession
from service.metrics.series import Metrics
from service.paths import StateDir
from service.settings import Settings
from service.store import Store, StoreError

# Seconds beyond the grace until the main process stops waiting: KILL acts in milliseconds.
_PATIENCE_S: Final = 5.0
# Seconds until a supervisor without jobs has ended; the jobs don't depend on it.
_END_S: Final = 3.0

_log = structlog.get_logger("jobrunner.engine")


def jobs_bound_s(settings: Settings) -> float:
    """Seconds that `end_all_jobs` takes at most."""
    return REACH_S + settings.shutdown_grace + _PATIENCE_S + _END_S


async def end_all_jobs(settings: Settings) -> bool:
    """Kill every live job, store the outcomes, and let the supervisor end. False, and a sentence
    for the operator, when jobs may be left.
    """
    with ExitStack() as opened:
        try:
            store = opened.enter_context(closing(Store(StateDir(settings.state_dir).records)))
            directory = os.open(settings.state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (StoreError, OSError) as exc:
            return _failed(settings, str(exc))
        opened.callback(os.close, directory)
        # Nobody is left who could read these metrics.
        driver = Driver(settings, store, RecordWriter(store, Metrics()), Changes())
        try:
            async with asyncio.timeout(jobs_bound_s(settings)):
                while not await _are_ended(settings, driver, directory):
                    continue
                return True
        except (TimeoutError, SupervisorFailed, OtherProtocol) as exc:
            return _failed(settings, driver.fault or str(exc) or "The supervisor doesn't answer.")


def _failed(settings: Settings, why: str) -> bool:
    _log.error("jobs_not_ended", grace_s=settings.shutdown_grace, why=why)
    print(  # noqa: T201 - for the operator
        f"jobrunner: jobs may go on, or their ends aren't stored yet: {why}",
        file=sys.stderr,
        flush=True,
    )
    return False


async def _are_ended(settings: Settings, driver: Driver, directory: int) -> bool:
    """One try; False when the supervisor went away meanwhile.

    Raises: SupervisorFailed.
    """
    # A dead one's jobs may live: the next supervisor sweeps them away before it serves.
    await asyncio.to_thread(reach, settings.state_dir, cgroup=settings.cgroup)
    try:
        jobs = await _try_to_end(settings, driver, directory)
    except TimeoutError:  # an OSError too, so it stands first
        raise
    except OSError as exc:
        _log.info("no_supervisor", why=str(exc))
        return False
    if jobs is not None:
        _log.info("jobs_ended", jobs=jobs)
    return jobs is not None


async def _try_to_end(settings: Settings, driver: Driver, directory: int) -> int | None:
    """How many jobs there were. None when the supervisor went away meanwhile: it is being upgraded,
    or it is dead, and then nobody listens any more. Raises: OSError.
    """
    try:
        session, hello = await SupervisorSession.open(
            directory, driver.received, lambda _: driver.lost()
        )
        descriptor = os.pidfd_open(hello["pid"])
        try:
            driver.connected(session, hello)
            session.introduce("main")
            await session.request({"type": "shutdown", "grace_s": settings.shutdown_grace})
            session.close()
            await _ended(descriptor)
        finally:
            os.close(descriptor)
    except ConnectionLost:
        return None
    return len(hello["jobs"])


async def _ended(descriptor: int) -> None:
    """Return when this process has ended, or after `_END_S`."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(_END_S):
            await ended.wait()
    except TimeoutError:
        _log.warning("supervisor_not_ended", after_s=_END_S)
    finally:
        loop.remove_reader(descriptor)

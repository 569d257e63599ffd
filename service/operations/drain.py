"""Drain and resume: asked for by an operator, or by the main process when it stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.link.capabilities import DRAIN
from service.link.from_supervisor import SupervisorHello
from service.link.session import REPLY_TIMEOUT_S, ConnectionLost, SupervisorSession
from service.link.to_supervisor import Drain
from service.operations.supervisor import NoSupervisor, connect
from service.paths import StateDir

# Seconds that a supervisor which was lost may be away: it is being upgraded, or replaced.
_AWAY_S: Final = 60.0
# Seconds between two attempts to connect to it.
_RETRY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Drained:
    """How many jobs run, and how many wait for the end of the drain."""

    running: int
    pending: int


class Resumed(Exception):
    """The drain was ended while it was waited for."""


async def drain(state_dir: Path, *, until_start: bool = False) -> Drained:
    """Begin to drain. `until_start`: the next start of the service ends it.

    Raises: NoSupervisor.
    """
    async with _asking(state_dir) as (session, _), _bounded(state_dir):
        reply = await session.request({"type": "drain", "until_start": until_start})
    return Drained(reply["running"], reply["pending"])


async def wait_drained(state_dir: Path, *, until_start: bool = False) -> Drained:
    """Begin to drain, and return when no job runs any more; over the end of a supervisor, too.

    Raises: NoSupervisor, when none comes back; Resumed.
    """
    message: Drain = {"type": "drain", "until_start": until_start, "wait": True}
    lost_at: float | None = None
    while True:
        try:
            async with _asking(state_dir) as (session, hello):
                if lost_at is not None and "draining" not in hello:
                    raise Resumed
                lost_at = time.monotonic()
                reply = await session.request(message)
        except (ConnectionLost, NoSupervisor) as exc:
            if lost_at is None or time.monotonic() - lost_at > _AWAY_S:
                raise _lost(state_dir, exc) from exc
            await _pause()
        else:
            if not reply["ok"]:
                raise Resumed
            return Drained(reply["running"], reply["pending"])


async def resume(state_dir: Path, *, at_start: bool = False) -> bool:
    """End a drain; False when there was none. `at_start`: this is a start of the service, which
    ends only a drain that lasts until then. Raises: NoSupervisor.
    """
    async with _asking(state_dir) as (session, hello):
        if "draining" not in hello:
            return False
        async with _bounded(state_dir):
            await session.request({"type": "resume", "at_start": at_start})
    return True


async def began(state_dir: Path) -> None:
    """The service has started: end a drain that lasts until now. Raises: NoSupervisor."""
    if StateDir(state_dir).drain.exists():
        await resume(state_dir, at_start=True)


async def stopped(state_dir: Path) -> None:
    """The service was told to stop: the next start ends a drain. Raises: NoSupervisor."""
    if StateDir(state_dir).drain.exists():
        await drain(state_dir, until_start=True)


@asynccontextmanager
async def _asking(state_dir: Path) -> AsyncIterator[tuple[SupervisorSession, SupervisorHello]]:
    session, hello = await connect(state_dir, _ignore)
    try:
        if DRAIN not in hello["capabilities"]:
            raise NoSupervisor(
                "the supervisor that runs is of an older release, which can't drain; run:"
                " jobrunner supervisor upgrade"
            )
        session.introduce("operator")
        yield session, hello
    finally:
        session.close()


@asynccontextmanager
async def _bounded(state_dir: Path) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            yield
    except (TimeoutError, ConnectionLost) as exc:
        raise _lost(state_dir, exc) from exc


def _lost(state_dir: Path, exc: Exception) -> NoSupervisor:
    return NoSupervisor(
        f"the supervisor of {state_dir} doesn't answer: {str(exc) or 'it is silent'}"
    )


async def _pause() -> None:
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(_RETRY_S, passed.set)
    await passed.wait()


def _ignore(_: object) -> None:
    """Nothing is waited for but the reply, which fails when the connection is lost."""

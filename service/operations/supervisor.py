"""The supervisor of a state directory, for an operator: its greeting, and its upgrade."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from service.link.session import ConnectionLost, OtherProtocol, SupervisorSession
from service.paths import StateDir

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.link.from_supervisor import SupervisorHello


class NoSupervisor(Exception):
    """No supervisor responds there; the message says why."""


class OtherSupervisor(NoSupervisor):
    """One runs there that speaks another protocol."""


async def greeting(state_dir: Path) -> SupervisorHello:
    """The supervisor's first message. Starts none. Raises: NoSupervisor."""
    connection, hello = await connect(state_dir, _ignore)
    connection.close()
    return hello


async def upgrade(state_dir: Path) -> str | None:
    """Have the supervisor exec the installed release, and wait until that serves. Returns why it
    did not, or None. Starts none. Raises: NoSupervisor.
    """
    ended = asyncio.Event()
    connection, before = await connect(state_dir, lambda _: ended.set())
    try:
        connection.introduce("operator")
        reply = await connection.request({"type": "upgrade"})
        if not reply["ok"]:
            return reply.get("why", "the supervisor refuses")
        await ended.wait()  # exec closes every connection
    except ConnectionLost:
        pass  # it exited, or was upgraded by another operator: the next hello tells
    finally:
        connection.close()
    after = await greeting(state_dir)
    if after["nonce"] != before["nonce"]:
        return "it exited meanwhile, and another one was started"
    if after["upgrades"] == before["upgrades"]:
        return f"it continued unchanged; {StateDir(state_dir).supervisor_log} says why"
    return None


async def connect(
    state_dir: Path, on_lost: Callable[[object], None]
) -> tuple[SupervisorSession, SupervisorHello]:
    """A connection, yet to be introduced, and the supervisor's hello. Starts none.

    Raises: NoSupervisor.
    """
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return await SupervisorSession.open(directory, _ignore, on_lost)
        finally:
            os.close(directory)
    except OtherProtocol as exc:
        raise OtherSupervisor(
            f"the supervisor of {state_dir} is of another release: {exc}"
        ) from exc
    except (OSError, ConnectionLost) as exc:
        raise NoSupervisor(f"no supervisor responds in {state_dir}: {exc}") from exc


def _ignore(_: object) -> None:
    """An operator drives no jobs, and gets no events."""

"""One question to the supervisor of a state directory on this box, for an operator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from service.supervisor.client import ConnectionLost, SupervisorConnection

if TYPE_CHECKING:
    from pathlib import Path


class NoSupervisor(Exception):
    """Nobody answers there; the message says why."""


async def greeting(state_dir: Path) -> dict[str, Any]:
    """What the supervisor says of itself: `pid`, `version`, `protocol`, the IDs of live `jobs`.

    None is started. Raises: NoSupervisor.
    """
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection, hello = await SupervisorConnection.open(directory, _ignore, _ignore)
        finally:
            os.close(directory)
        connection.close()
        return hello
    except (OSError, ConnectionLost) as exc:
        raise NoSupervisor(f"no supervisor answers in {state_dir}: {exc}") from exc


async def ask(state_dir: Path, message: dict[str, Any]) -> dict[str, Any]:
    """The reply to `message`. None is started. Raises: NoSupervisor."""
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection, _ = await SupervisorConnection.open(directory, _ignore, _ignore)
        finally:
            os.close(directory)
        connection.introduce("operator")
        return await connection.request(message)
    except (OSError, ConnectionLost) as exc:
        raise NoSupervisor(f"no supervisor answers in {state_dir}: {exc}") from exc


def _ignore(_: object) -> None:
    """An operator owns no jobs, and is told nothing."""

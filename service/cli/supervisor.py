"""`jobrunner supervisor …`: what an operator does with the supervisor on this box."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from service.settings import SettingError, Settings
from service.supervisor.client import ConnectionLost, SupervisorConnection


def upgrade() -> int:
    """Have the running supervisor become the code that is installed now; the exit status."""
    try:
        settings = Settings.from_environment()
        reply = asyncio.run(_ask(settings, {"t": "upgrade"}))
    except SettingError as exc:
        return _fail(str(exc), 2)
    except (OSError, ConnectionLost) as exc:
        return _fail(f"no supervisor answers in {settings.state_dir}: {exc}", 1)
    if not reply["ok"]:
        return _fail(f"not upgraded: {reply['why']}", 1)
    print("The supervisor was upgraded; its jobs run on.")
    return 0


async def _ask(settings: Settings, message: dict[str, Any]) -> dict[str, Any]:
    directory = os.open(settings.state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection, _ = await SupervisorConnection.open(directory, _ignore, _ignore)
    finally:
        os.close(directory)
    connection.introduce("operator")
    return await connection.request(message)


def _ignore(_: object) -> None:
    """An operator owns no jobs, and is told nothing."""


def _fail(sentence: str, status: int) -> int:
    print(f"jobrunner: {sentence}", file=sys.stderr)
    return status

"""`jobrunner supervisor …`: what an operator does with the supervisor on this box."""

from __future__ import annotations

import asyncio
import sys

from service.client.supervisor import NoSupervisor, ask
from service.settings import SettingError, Settings


def upgrade() -> int:
    """Have the running supervisor become the code that is installed now; the exit status."""
    try:
        settings = Settings.from_environment()
        reply = asyncio.run(ask(settings.state_dir, {"t": "upgrade"}))
    except SettingError as exc:
        return _fail(str(exc), 2)
    except NoSupervisor as exc:
        return _fail(str(exc), 1)
    if not reply["ok"]:
        return _fail(f"not upgraded: {reply['why']}", 1)
    print("The supervisor was upgraded; its jobs run on.")
    return 0


def _fail(sentence: str, status: int) -> int:
    print(f"jobrunner: {sentence}", file=sys.stderr)
    return status

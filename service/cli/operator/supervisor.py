"""`jobrunner supervisor …`: manages the supervisor of a state directory."""

from __future__ import annotations

import asyncio
import sys

from service.host.escaping import escaped
from service.kinds.settings import read_settings
from service.operations import supervisor
from service.operations.supervisor import NoSupervisor
from service.settings import SettingError


def upgrade() -> int:
    """Replace the running supervisor by the installed release. Returns the exit status."""
    try:
        settings = read_settings()
        why_not = asyncio.run(supervisor.upgrade(settings.state_dir))
    except SettingError as exc:
        return _fail(str(exc), 2)
    except NoSupervisor as exc:
        return _fail(str(exc), 1)
    if why_not is not None:
        return _fail(f"not upgraded: {why_not}", 1)
    print("The supervisor was upgraded; its jobs run on.")
    return 0


def _fail(sentence: str, status: int) -> int:
    print(f"jobrunner: {escaped(sentence)}", file=sys.stderr)
    return status

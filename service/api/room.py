"""How many readers of output a worker serves at a time."""

from __future__ import annotations

from typing import Final

from service.errors import Unavailable
from service.web.request import Request

# Seconds after which a reader may come again when all places are taken.
_RETRY_S: Final = 5


def check_room(request: Request) -> None:
    """Raises: Unavailable, when as many readers are attached as may be."""
    most = request.app.ctx.settings.max_readers
    if 0 < most <= len(request.app.ctx.open_streams):
        raise Unavailable(f"{most} readers are attached to this worker.", retry_after_s=_RETRY_S)

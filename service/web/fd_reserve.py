"""The last descriptors of a worker are for short requests: it can still refuse, show and kill.

The kernel gives the lowest free number. So a connection with a number near the limit tells, without
any counting, that nearly all are taken: what would hold it for long, or make work that needs more,
is refused with 503, and the connection is closed after its answer. What was begun before goes on.
"""

from __future__ import annotations

import resource
from typing import Any, Final

from sanic import Request

from service.errors import Unavailable

# Descriptors kept: connections of short requests, and what one of them opens on its way.
_RESERVE: Final = 32
# Ends of the paths of GET requests that may be open for long.
_LONG: Final = ("/attach", "/wait")


def raise_limit() -> None:
    """Let this process open as many descriptors as its hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def refuse_in_reserve(descriptor: int) -> None:
    """Raises: Unavailable, when `descriptor`, just opened, is one of the last."""
    if descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVE:
        raise Unavailable("Nearly all file descriptors of this worker are taken.")


async def keep_reserve(request: Request) -> None:
    """Before each request. Raises: Unavailable."""
    stream: Any = request.stream
    peer = stream.protocol.transport.get_extra_info("socket")
    if peer is None:
        return
    try:
        refuse_in_reserve(peer.fileno())
    except Unavailable as exc:
        request.ctx.no_descriptors = exc.detail
        stream.keep_alive = False
        is_submission = request.method == "POST" and request.path == "/"
        if is_submission or request.path.endswith(_LONG):
            raise

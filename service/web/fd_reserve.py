"""Load shedding: the last descriptors of a worker are for short requests, so that it can still
refuse, show and kill.

The kernel gives the lowest free number. So a connection with a number near the limit tells, without
any counting, that nearly all are taken: a request that would keep its connection for long, or start
work that needs more descriptors, is refused with 503, and the connection is closed after its
response. Requests that were begun before go on.
"""

from __future__ import annotations

import resource
from enum import Enum, auto
from typing import Any, Final

from service.errors import Unavailable
from service.web.request import Request

# Descriptors kept: connections of short requests, and what one of them opens on its way.
_RESERVE: Final = 32


class Cost(Enum):
    """What a request costs in descriptors. Only short ones are served when few are left."""

    SHORT = auto()
    LONG_LIVED = auto()  # its connection may be open for as long as a job runs
    STARTS_WORK = auto()  # it starts work that needs more


def raise_limit() -> None:
    """Let this process open as many descriptors as its hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def refuse_in_reserve(descriptor: int) -> None:
    """Raises: Unavailable, when `descriptor`, just opened, is one of the last."""
    if descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVE:
        raise Unavailable("Nearly all file descriptors of this worker are taken.")


async def shed_load(request: Request) -> None:
    """Before each request. Raises: Unavailable."""
    stream: Any = request.stream
    peer = stream.protocol.transport.get_extra_info("socket")
    if peer is None:
        return
    try:
        refuse_in_reserve(peer.fileno())
    except Unavailable as exc:
        request.shed_reason = exc.detail
        stream.keep_alive = False
        route: Any = request.route  # None for an unknown path, or a head that can't be read
        if route is not None and getattr(route.ctx, "cost", Cost.SHORT) is not Cost.SHORT:
            raise

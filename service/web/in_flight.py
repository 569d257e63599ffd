"""Requests under way: counted by principal, and cut when what let them in holds no more.

A token that is revoked or expires, and the first one that closes an open service, end the streams,
waits and long polls that were begun before. The connection is aborted: a response that is cut never
looks whole.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog
from sanic import Request

from service.access.scopes import Principal
from service.web.connection import connection_of

# Longest time until the next look whether a token has expired: the wall clock may jump.
_MAX_LOOK_S: Final = 30.0
# A close with this sends a reset: a response without framing (HTTP/1.0) would look whole.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

_log = structlog.get_logger("jobrunner.access")


class InFlight:
    """One in each worker. `is_still_valid`: whether a principal would be let in now."""

    def __init__(self, is_still_valid: Callable[[Principal], bool]) -> None:
        self._is_still_valid = is_still_valid
        self._principals: dict[Request, Principal] = {}
        self._counts: Counter[str] = Counter()
        self._expiry: tuple[int, asyncio.TimerHandle] | None = None

    def __len__(self) -> int:
        return len(self._principals)

    def of(self, name: str) -> int:
        """How many of this principal."""
        return self._counts[name]

    def enter(self, request: Request, principal: Principal) -> None:
        """One more; to be followed by `leave`."""
        self._principals[request] = principal
        if principal.name is not None:
            self._counts[principal.name] += 1
            if principal.expires_at is not None:
                self._look_at(principal.expires_at)

    def leave(self, request: Request) -> None:
        """It has its response."""
        principal = self._principals.pop(request)
        if principal.name is not None:
            self._counts[principal.name] -= 1
            if not self._counts[principal.name]:
                del self._counts[principal.name]

    def cut_unproven(self) -> None:
        """Abort those whose principal wouldn't be let in any more."""
        is_good: dict[tuple[str | None, Principal], bool] = {}
        cut: Counter[tuple[str | None, str | None]] = Counter()
        for request, principal in list(self._principals.items()):
            key = principal.token_id, principal
            if key not in is_good:
                is_good[key] = self._is_still_valid(principal)
            if not is_good[key]:
                _abort(request)
                cut[principal.name, principal.token] += 1
        for (name, token), requests in cut.items():
            _log.info("requests_cut", principal=name, token=token, requests=requests)

    def close(self) -> None:
        if self._expiry is not None:
            self._expiry[1].cancel()
            self._expiry = None

    def _look_at(self, expires_at: int) -> None:
        """Look again when that token has expired; there is one timer, for the first to do so."""
        if self._expiry is not None:
            if self._expiry[0] <= expires_at:
                return
            self._expiry[1].cancel()
        wait_s = min(max(0.0, (expires_at - time.time_ns()) / 1e9), _MAX_LOOK_S)
        timer = asyncio.get_running_loop().call_later(wait_s, self._expired)
        self._expiry = expires_at, timer

    def _expired(self) -> None:
        self._expiry = None
        self.cut_unproven()
        ends = (p.expires_at for p in self._principals.values() if p.expires_at is not None)
        now = time.time_ns()
        if (first := min((end for end in ends if end > now), default=None)) is not None:
            self._look_at(first)


def _abort(request: Request) -> None:
    transport: Any = connection_of(request).transport
    if transport is None or transport.is_closing():
        return
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()

"""Requests in flight: counted by principal, and aborted once their principal is no longer valid.

A token that is revoked or expires, and the first token of an open service, end the streams, waits
and long polls that were begun before. The connection is aborted: a response that is cut never looks
whole.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from service.access.scopes import Principal

# Longest time until the next look whether a token has expired: the wall clock may jump.
_MAX_LOOK_S: Final = 30.0

_log = structlog.get_logger("jobrunner.access")


class Abortable(Protocol):
    """A request that can be counted, and ended before its response is whole."""

    def __hash__(self) -> int: ...

    def abort(self) -> None:
        """End its connection so that no client takes the response for whole."""


class InFlight:
    """One in each worker. `is_still_valid`: whether a principal would be admitted now."""

    def __init__(self, is_still_valid: Callable[[Principal], bool]) -> None:
        self._is_still_valid = is_still_valid
        self._principals: dict[Abortable, Principal] = {}
        self._counts: Counter[str] = Counter()
        self._expiry: tuple[int, asyncio.TimerHandle] | None = None

    def __len__(self) -> int:
        return len(self._principals)

    def of(self, name: str) -> int:
        """How many of this principal."""
        return self._counts[name]

    def enter(self, request: Abortable, principal: Principal) -> None:
        """Count one more; followed by `leave`."""
        self._principals[request] = principal
        if principal.name is not None:
            self._counts[principal.name] += 1
            if principal.expires_at is not None:
                self._look_at(principal.expires_at)

    def leave(self, request: Abortable) -> None:
        """It has its response."""
        principal = self._principals.pop(request)
        if principal.name is not None:
            self._counts[principal.name] -= 1
            if not self._counts[principal.name]:
                del self._counts[principal.name]

    def abort_invalid(self) -> None:
        """Abort those whose principal wouldn't be admitted any more."""
        is_valid: dict[tuple[str | None, str | None, Principal], bool] = {}
        aborted: Counter[tuple[str | None, str | None]] = Counter()
        for request, principal in list(self._principals.items()):
            key = principal.token_id, principal.login, principal
            if key not in is_valid:
                is_valid[key] = self._is_still_valid(principal)
            if not is_valid[key]:
                request.abort()
                aborted[principal.name, principal.token] += 1
        for (name, token), requests in aborted.items():
            _log.info("requests_cut", principal=name, token=token, requests=requests)

    def close(self) -> None:
        if self._expiry is not None:
            self._expiry[1].cancel()
            self._expiry = None

    def _look_at(self, expires_at: int) -> None:
        """Look again when that token has expired. There is one timer, for the first to expire."""
        if self._expiry is not None:
            if self._expiry[0] <= expires_at:
                return
            self._expiry[1].cancel()
        wait_s = min(max(0.0, (expires_at - time.time_ns()) / 1e9), _MAX_LOOK_S)
        timer = asyncio.get_running_loop().call_later(wait_s, self._expired)
        self._expiry = expires_at, timer

    def _expired(self) -> None:
        self._expiry = None
        # Before they are judged: one that expires after that is looked at again.
        now = time.time_ns()
        self.abort_invalid()
        ends = (p.expires_at for p in self._principals.values() if p.expires_at is not None)
        if (first := min((end for end in ends if end > now), default=None)) is not None:
            self._look_at(first)

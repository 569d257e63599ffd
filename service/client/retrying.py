"""When a request is sent again, and when it is given up.

Rules
1. Connection errors, 429, 502, 503 and 504 pass; any other problem is raised at once.
2. What may have reached the service is sent again only if that does no harm: GET, DELETE, and a
   POST with an Idempotency-Key. 429 and 503 say that nothing was done, so all is sent again.
3. `Retry-After` is obeyed; without it pauses double up to `_MOST_S`, with jitter, so that a
   thousand clients don't return at the same moment.
4. A request is given up when the service hasn't answered for `timeout_s`. What follows a job
   (streams, waits) never is, once the service has answered this client: a closed lid or a restart
   is no reason.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

import msgspec

from service.client.bodies import Streamed
from service.client.failures import ServiceUnreachable
from service.client.steps import Failure, Nothing, Pause, Request
from service.errors import JobrunnerError

# Seconds.
_FIRST_S: Final = 0.05
_MOST_S: Final = 5.0
# By a proxy: the service couldn't be reached.
_OF_PROXIES: Final = (502, 504)
_NOTHING_DONE: Final = (429, 503)


class Retry(msgspec.Struct, frozen=True):
    """What was lost, and after how many seconds it is tried again."""

    why: str
    delay_s: float
    attempt: int


def quietly(retry: Retry) -> None:
    """Tell nobody."""
    del retry


class Policy(msgspec.Struct, kw_only=True):
    """How patient a client is. `has_answered`: the service has, so it is where the URL says."""

    url: str
    timeout_s: float
    on_retry: Callable[[Retry], None] = quietly
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    has_answered: bool = False


class Attempts:
    """Those of one request, or of one stream; `is_patient`: rule 4's second sentence."""

    def __init__(self, policy: Policy, *, is_patient: bool = False) -> None:
        self._policy = policy
        self._is_patient = is_patient
        self._began = self._deadline = policy.clock()
        self._count = 0

    def progressed(self) -> None:
        """Something came: the next failure is a new one."""
        self._count = 0
        self._policy.has_answered = True
        self._began = self._policy.clock()

    def pause(self, lost: Failure | JobrunnerError, request: Request) -> Nothing[None]:
        """Wait before `request` is sent again. Raises: what was lost, when it isn't to be."""
        policy = self._policy
        if isinstance(lost, JobrunnerError):
            policy.has_answered |= lost.status not in _OF_PROXIES
            may_repeat = lost.status in _NOTHING_DONE or (
                lost.status in _OF_PROXIES and request.is_repeatable
            )
            why, asked_s = lost.detail, lost.retry_after_s
        else:
            may_repeat = request.is_repeatable or not lost.was_sent
            why, asked_s = lost.why, None
        if isinstance(request.body, Streamed) and request.body.is_spent:
            may_repeat = False
        if not self._count:
            # A response may take long, and be lost at its end: the service was there until now.
            was_there = not isinstance(lost, Failure) or lost.was_sent
            self._deadline = policy.timeout_s + (policy.clock() if was_there else self._began)
        delay_s = self._backoff() if asked_s is None else float(asked_s)
        is_bounded = not (self._is_patient and policy.has_answered)
        is_late = is_bounded and policy.clock() + delay_s > self._deadline
        if not may_repeat or is_late:
            raise self._final(lost)
        self._count += 1
        policy.on_retry(Retry(why, delay_s, self._count))
        yield Pause(delay_s)

    def _backoff(self) -> float:
        most_s: float = min(_MOST_S, _FIRST_S * 2 ** min(self._count, 10))
        return most_s * (0.5 + self._policy.jitter() / 2)

    def _final(self, lost: Failure | JobrunnerError) -> Exception:
        if isinstance(lost, JobrunnerError):
            return lost
        return ServiceUnreachable(self._policy.url, lost.why, may_have_happened=lost.was_sent)

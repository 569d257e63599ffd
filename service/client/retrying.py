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
5. For what follows a job an answer of another program is a cut as well, once the service has
   answered this client: a captive portal answers in place of every service.
6. A `Deadline` ends all of it, whether anything answers or not.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from service.client.bodies import Streamed
from service.client.failures import ServiceUnreachable, UnexpectedAnswer
from service.client.steps import Failure, Nothing, Pause, Request
from service.errors import JobrunnerError

# Seconds.
_FIRST_S: Final = 0.05
_MOST_S: Final = 5.0
# By a proxy: the service couldn't be reached.
_OF_PROXIES: Final = (502, 504)
_NOTHING_DONE: Final = (429, 503)
# An answer that is on its way at a deadline is waited for so long.
_ANSWER_S: Final = 2.0


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


class Deadline(msgspec.Struct, frozen=True):
    """The end of a wait, by the client's clock. `over`: what is said then."""

    at: float
    over: str

    def left_s(self, clock: Callable[[], float]) -> float:
        return max(0.0, self.at - clock())

    def silence_s(self, clock: Callable[[], float], most_s: float) -> float:
        """How long nothing may come, instead of `most_s`."""
        return min(most_s, self.left_s(clock) + _ANSWER_S)


class Foreign(msgspec.Struct, frozen=True):
    """An answer that isn't the service's; `error` is what it is when it is the last one."""

    error: JobrunnerError | UnexpectedAnswer


Lost: TypeAlias = Failure | Foreign | JobrunnerError
"""In place of an answer: nothing, that of another program, a problem of the service."""


class Attempts:
    """Those of one request, or of one stream; `is_patient`: rule 4's second sentence."""

    def __init__(
        self, policy: Policy, *, is_patient: bool = False, deadline: Deadline | None = None
    ) -> None:
        self._policy = policy
        self._is_patient = is_patient
        self._end = deadline
        self._began = self._deadline = policy.clock()
        self._count = 0

    def answered(self) -> None:
        """The service is where the URL says."""
        self._policy.has_answered = True

    def progressed(self) -> None:
        """Something came: the next failure is a new one."""
        self._count = 0
        self.answered()
        self._began = self._policy.clock()

    def pause(self, lost: Lost, request: Request) -> Nothing[None]:
        """Wait before `request` is sent again. Raises: what was lost, when it isn't to be;
        TimeoutError.
        """
        policy = self._policy
        why, asked_s = _told(lost)
        self._raise_if_over(why)
        if isinstance(lost, JobrunnerError):
            policy.has_answered = True
        if not self._count:
            # A response may take long, and be lost at its end: the service was there until now.
            was_there = not isinstance(lost, Failure) or lost.was_sent
            self._deadline = policy.timeout_s + (policy.clock() if was_there else self._began)
        delay_s = self._backoff() if asked_s is None else float(asked_s)
        is_late = self._is_bounded() and policy.clock() + delay_s > self._deadline
        if is_late or not self._may_repeat(lost, request):
            raise self._final(lost)
        if self._end is not None:
            delay_s = min(delay_s, self._end.left_s(policy.clock))
        self._count += 1
        policy.on_retry(Retry(why, delay_s, self._count))
        yield Pause(delay_s)
        self._raise_if_over(why)

    def _is_bounded(self) -> bool:
        return not (self._is_patient and self._policy.has_answered)

    def _may_repeat(self, lost: Lost, request: Request) -> bool:
        if isinstance(request.body, Streamed) and request.body.is_spent:
            return False
        if isinstance(lost, Failure):
            return request.is_repeatable or not lost.was_sent
        error = lost.error if isinstance(lost, Foreign) else lost
        status = None if isinstance(error, UnexpectedAnswer) else error.status
        if status in _NOTHING_DONE:
            return True
        is_cut = isinstance(lost, Foreign) and not self._is_bounded()
        return request.is_repeatable and (status in _OF_PROXIES or is_cut)

    def _raise_if_over(self, why: str) -> None:
        if self._end is not None and self._policy.clock() >= self._end.at:
            at = self._policy.url
            raise TimeoutError(f"{self._end.over}: no service answers at {at} ({why}).")

    def _backoff(self) -> float:
        most_s: float = min(_MOST_S, _FIRST_S * 2 ** min(self._count, 10))
        return most_s * (0.5 + self._policy.jitter() / 2)

    def _final(self, lost: Lost) -> Exception:
        if isinstance(lost, Failure):
            return ServiceUnreachable(self._policy.url, lost.why, may_have_happened=lost.was_sent)
        return lost.error if isinstance(lost, Foreign) else lost


def _told(lost: Lost) -> tuple[str, int | None]:
    """Why, and the seconds of `Retry-After`."""
    if isinstance(lost, Failure):
        return lost.why, None
    error = lost.error if isinstance(lost, Foreign) else lost
    if isinstance(error, UnexpectedAnswer):
        return f"{error}", None
    return error.detail, error.retry_after_s

"""What jobs use now, measured when somebody asks, a slice of a turn of the loop at a time.

Reading the files of a thousand jobs takes a tenth of a second. Output that comes meanwhile waits no
longer than a slice. What was measured a moment ago isn't measured again: whoever looks at a long
list looks often, and isn't alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from service.link.from_supervisor import UsageNow
    from service.supervisor.job.runner import Job

# Seconds of the loop's time at once.
_SLICE_S: Final = 0.002
# Seconds after which what isn't measured yet is left out of the reply.
_BOUND_S: Final = 1.0
# Seconds that a measurement counts as present.
_FRESH_S: Final = 0.5

_Done: TypeAlias = "Callable[[dict[str, UsageNow]], None]"


class Measuring:
    """One for all jobs. Requests are under way side by side."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._fresh: dict[str, tuple[float, UsageNow]] = {}  # with the time, the oldest first

    def request(self, jobs: Sequence[Job], done: _Done) -> None:
        """`done` is called with what each job uses, as far as there was time to measure it."""
        self._forget_old()
        found: dict[str, UsageNow] = {}
        work = self._measure(jobs, found)
        self._step(work, lambda: done(found), self._loop.time() + _BOUND_S)

    def _step(self, work: Generator[None], done: Callable[[], None], ends_at: float) -> None:
        slice_ends_at = self._loop.time() + _SLICE_S
        for _ in work:
            now = self._loop.time()
            if now > ends_at:
                break
            if now > slice_ends_at:
                self._loop.call_soon(self._step, work, done, ends_at)
                return
        work.close()
        done()

    def _measure(self, jobs: Sequence[Job], found: dict[str, UsageNow]) -> Generator[None]:
        for job in jobs:
            if (fresh := self._fresh.get(job.id)) is not None:
                found[job.id] = fresh[1]
            elif (usage := (yield from job.measure())) is not None:
                found[job.id] = usage
                self._fresh.pop(job.id, None)  # that of a request side by side
                self._fresh[job.id] = (self._loop.time(), usage)
            yield

    def _forget_old(self) -> None:
        oldest = self._loop.time() - _FRESH_S
        for job_id, (at, _) in list(self._fresh.items()):
            if at > oldest:
                return
            del self._fresh[job_id]

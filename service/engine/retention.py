"""Cleaning finished jobs by age, number and bytes, the oldest first.

Rules
1. Never a live job; and a finished one is kept KEPT_S, whatever the settings say.
2. Nothing polls. A pass runs when this process has stored the end of a job, when it starts, and
   when its one timer says that the next job is due; with nothing to become due there is no timer.
3. A pass also forgets the idempotency keys of jobs that were cleaned long ago (`KEY_RETENTION`),
   and their tombstones. No timer waits for them: an expired key counts as forgotten already, and a
   tombstone that is told for longer does no harm.
4. Any process may run a pass at any time: a job is cleaned by whoever deletes its record, and only
   that one removes its files. A reader that has the files open reads on.

What a job takes on the disk is measured once, when it has finished: the blocks of its log, index
and working directory. A tree of a few entries is looked at here: in a thread, each call into the
kernel would hand the interpreter over and back, which costs more than the call. What isn't known
yet, since a process died before it measured, is measured at the next start.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

import msgspec
import structlog

from service.engine.key_retention import keys_kept_since
from service.engine.patient_writes import stored
from service.errors import JobrunnerError
from service.files.job import JobFiles, job_files
from service.files.usage import disk_usage, small_disk_usage
from service.settings import Percentage, Settings
from service.store import Finished, Store, Totals

# Seconds that whoever submitted a job has to fetch how it ended.
KEPT_S: Final = 60
# Seconds that a consumer of changes has to hear of a job that was cleaned: a week.
TOMBSTONES_KEPT_S: Final = 7 * 24 * 3600
# Jobs per transaction and thread call: a pass over many lets the loop serve in between.
_BATCH: Final = 100
# Jobs that are looked at before the loop serves others: a look at a small one takes 0.05 ms.
_AT_ONCE: Final = 20
# Seconds for one job: a disk that is read for the first time shows some hundred thousand files.
# What there is no time for isn't counted.
_MEASURE_S: Final = 30.0
# Seconds until what failed (the disk is full, no descriptor is free) is tried again.
_RETRY_S: Final = 10.0
# Seconds after which what couldn't be removed is tried again, and the clock is looked at.
_LOOK_S: Final = 3600.0
_NS: Final = 1_000_000_000

_log = structlog.get_logger("jobrunner.retention")


class Limits(msgspec.Struct, frozen=True):
    """What may be kept; 0 is no limit."""

    age_ns: int = 0
    jobs: int = 0
    disk_bytes: int = 0


class Due(msgspec.Struct, frozen=True):
    """The jobs to be cleaned now, and when the next one may be (None: not by time alone). After
    `is_partial` the same is to be asked again.
    """

    ids: list[str]
    next_at: int | None
    is_partial: bool = False


def due(oldest: Iterable[Finished], totals: Totals, limits: Limits, *, now: int) -> Due:
    """What the limits say about the `oldest` finished jobs, those of the earliest end first."""
    ids: list[str] = []
    jobs, disk_bytes = totals.jobs, totals.disk_bytes
    for job in oldest:
        is_over = 0 < limits.jobs < jobs or 0 < limits.disk_bytes < disk_bytes
        if not is_over and not limits.age_ns:
            return Due(ids, None)
        at = job.finished_at + max(KEPT_S * _NS, 0 if is_over else limits.age_ns)
        if at > now:
            return Due(ids, at)
        ids.append(job.id)
        jobs -= 1
        disk_bytes -= job.disk_bytes
    return Due(ids, None, is_partial=jobs > 0 and bool(ids))


# Seconds in which jobs that end are looked at together: none of them is due within its minute.
_TOGETHER_S: Final = 0.2


class Retention:
    """One in each worker. `forget` cleans jobs: it deletes their records, removes the files of
    those whose record it deleted, and says how many these were.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        forget: Callable[[list[str]], Awaitable[int]],
        *,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """`now` is the wall clock in nanoseconds."""
        self._settings = settings
        self._store = store
        self._forget = forget
        self._now = now
        self._unmeasured: list[str] = []
        self._may_have_forgotten = True  # a process before this one
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0  # by the monotonic clock

    def finished(self, job_id: str) -> None:
        """This process has stored the end of a job. Returns at once."""
        self._unmeasured.append(job_id)
        soon = asyncio.get_running_loop().time() + _TOGETHER_S
        if self._timer is None or self._timer.when() > soon:
            self._arm(_TOGETHER_S)

    def files_left(self) -> None:
        """A file of a job couldn't be removed. Returns at once."""
        if self._timer is None:
            self._arm(_LOOK_S)

    async def run(self) -> None:
        """Clean what is due, now and whenever something is, until cancelled."""
        try:
            while True:
                self._wanted.clear()
                await self._try_pass()
                await self._wanted.wait()
        finally:
            self._disarm()

    async def _try_pass(self) -> None:
        try:
            await self._measure_new()
            await self._clean_due()
            await self._forget_keys()
            await self._forget_tombstones()
        except (JobrunnerError, OSError) as exc:
            _log.error("retention_failed", error=str(exc))
            self._arm(_RETRY_S)

    async def _measure_new(self) -> None:
        while self._may_have_forgotten and (job_ids := self._store.finished.unmeasured(_BATCH)):
            await self._measure(job_ids, {})
        self._may_have_forgotten = False
        while job_ids := self._unmeasured[:_BATCH]:
            await self._measure(job_ids, await self._small(job_ids))
            del self._unmeasured[: len(job_ids)]

    async def _clean_due(self) -> None:
        batch = 1  # most passes find nothing to clean, and look at one
        while True:
            oldest = self._store.finished.oldest(batch)
            batch = _BATCH
            found = due(oldest, self._store.finished.totals(), self._limits(), now=self._now())
            is_wanted = found.ids or self._looks_again()
            if is_wanted and (cleaned := await self._forget(found.ids)):
                _log.info("jobs_retired", jobs=cleaned)
            if not found.is_partial:
                break
        next_s = _LOOK_S if self._store.finished.count_with_leftovers() else math.inf
        if found.next_at is not None:
            # The wall clock may be set meanwhile.
            next_s = min(_LOOK_S, (found.next_at - self._now()) / _NS)
        self._disarm()
        if next_s < math.inf:
            self._arm(next_s)

    def _looks_again(self) -> bool:
        """Whether what couldn't be removed is to be tried again, though nothing else is due."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        return self._store.finished.count_with_leftovers() > 0

    async def _forget_keys(self) -> None:
        now = self._now()
        before = keys_kept_since(self._settings, now)
        forget = partial(
            self._store.keys.forget, before=now if before is None else before, limit=_BATCH
        )
        if await stored(forget) == _BATCH:
            self._arm(0.0)  # the loop serves before the next batch

    async def _forget_tombstones(self) -> None:
        before = self._now() - TOMBSTONES_KEPT_S * _NS
        if await stored(lambda: self._store.changes.forget(before=before, limit=_BATCH)) == _BATCH:
            self._arm(0.0)

    async def _measure(self, job_ids: list[str], known: dict[str, int]) -> None:
        """Store what they take; what isn't `known` is looked at in a thread."""
        others = [job_id for job_id in job_ids if job_id not in known]
        usage = known | await asyncio.to_thread(self._usage_of, others) if others else known
        await stored(lambda: self._store.finished.measured(usage))

    async def _small(self, job_ids: list[str]) -> dict[str, int]:
        """What those take that have just written it, and little."""
        found = {}
        for number, job_id in enumerate(job_ids, 1):
            usage = _small_usage(job_files(self._settings.state_dir, job_id))
            if usage is not None:
                found[job_id] = usage
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
        return found

    def _usage_of(self, job_ids: list[str]) -> dict[str, int]:
        state_dir = self._settings.state_dir
        return {job_id: _disk_usage(job_files(state_dir, job_id)) for job_id in job_ids}

    def _limits(self) -> Limits:
        settings = self._settings
        kept_bytes = settings.retain_bytes
        if isinstance(kept_bytes, Percentage):
            disk = os.statvfs(settings.state_dir)
            kept_bytes = disk.f_blocks * disk.f_frsize * kept_bytes.percent // 100
        return Limits(int(settings.retain_age * _NS), settings.retain_jobs, kept_bytes)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, seconds), self._wanted.set)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _small_usage(files: JobFiles) -> int | None:
    total = 0
    for path in {files.directory, files.log}:
        if (usage := small_disk_usage(path)) is None:
            return None
        total += usage
    return total


def _disk_usage(files: JobFiles) -> int:
    ends_at = time.monotonic() + _MEASURE_S
    return sum(_usage_of(path, ends_at) for path in {files.directory, files.log})


def _usage_of(path: str, ends_at: float) -> int:
    above, name = os.path.split(path)
    try:
        parent = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0  # no job of this service has had a byte of output yet
    try:
        return disk_usage(parent, name, is_over=lambda: time.monotonic() > ends_at)
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            raise
        _log.error("disk_usage_unknown", path=path, error=str(exc))
        return 0
    finally:
        os.close(parent)

"""The output of many jobs for one reader: they join as they start, and leave at their end.

1. One loop reads a piece of each job that has something, in turn, and writes it before it reads the
   next: a reader that is slow costs the memory of one piece, and no job comes twice before all
   others that wait.
2. At most so many jobs are read at a time. The others are in their turn when one of those is over:
   none is left out, as the logs are there until they are cleaned.
3. Whenever a record is written, its cursor is exactly where the reader is (`joining`). That a job
   which is read has ended is learnt whether or not there is room for others (`_hear`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import msgspec

from service.engine.change_feed import ChangeFeed
from service.engine.end_record import end_record
from service.engine.followed_job import FollowedJob
from service.engine.joining import Joining
from service.engine.many_place import Place
from service.engine.many_selection import JoiningJobs
from service.errors import InsufficientStorage, JobrunnerError, OutputError, Unavailable
from service.files.job import JobFiles
from service.jobs.record import JobRecord
from service.jobs.states import FINISHED, State
from service.jobs.visibility import Visibility
from service.output.formats.job_records import JobRecords
from service.output.sink import Sink
from service.output.watcher import LogWatcher
from service.store import Store, sees

Cursor = Callable[[int | None], str]


class Jobs(Protocol):
    """What has to be known of jobs, and done for them."""

    feed: ChangeFeed

    def files(self, job_id: str) -> JobFiles: ...
    async def make_log(self, job_id: str) -> None: ...


class ReaderOfMany(msgspec.Struct, frozen=True, kw_only=True):
    """What one reader wants. `encoder` makes what encodes the records of a job, from its ID and
    what tells the cursor behind a record; `head` comes before the first one, and `heartbeat` is
    made of a cursor and a time. `has_room` raises Unavailable for a descriptor that is one of the
    last. `on_join` is told the ID of each job that joins.
    """

    wanted: JoiningJobs
    visible: Visibility
    encoder: Callable[[str, Cursor], JobRecords]
    head: bytes
    heartbeat: Callable[[str, int], bytes]
    has_room: Callable[[int], None]
    on_join: Callable[[str], None]


class ManyJobs:
    """For one reader, who continues at `place`, or begins there."""

    def __init__(
        self,
        jobs: Jobs,
        store: Store,
        watcher: LogWatcher,
        reader: ReaderOfMany,
        place: Place,
        *,
        at_once: int,
        follow: bool = True,
    ) -> None:
        """Without `follow` it ends once all that there was when it began is written."""
        self._jobs = jobs
        self._feed = jobs.feed
        self._store = store
        self._watcher = watcher
        self._reader = reader
        self._at_once = at_once
        self._follow = follow
        self._joining = Joining(store, jobs.feed, reader.wanted, reader.visible, place)
        self._open: dict[int, FollowedJob] = {}
        self._ready: deque[FollowedJob] = deque()
        self._wake = asyncio.Event()
        self._heard = 0  # changes up to this one were looked at for ends

    def begin(self) -> None:
        """Begin with the jobs that there are now. Raises: Unavailable."""
        self._joining.begin()

    @property
    def cursor(self) -> str:
        """Where the reader is."""
        return str(self._joining.place)

    async def copy_to(self, sink: Sink) -> None:
        """Write records for ever, or to the present end.

        Raises: Unavailable, when this worker stops, or has no descriptor for even one job; OSError;
            whatever the sink raises.
        """
        beat = partial(self._beat, sink)
        with self._feed.following(self._wake.set):
            try:
                self._heard = self._feed.last()
                self._joining.resume(until=None if self._follow else self._heard)
                await sink.write(self._reader.head)
                while True:
                    self._wake.clear()
                    self._feed.check_open()
                    self._hear()
                    await self._admit(sink)
                    if self._ready:
                        await self._turn(self._ready.popleft(), sink)
                        await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, no wait
                    elif not self._follow:
                        # A proxy may end a broken stream cleanly: this says that it is whole.
                        await sink.write(self._reader.heartbeat(self.cursor, time.time_ns()))
                        return
                    else:
                        with self._watcher.keep_alive.during(beat):
                            await self._wake.wait()
            finally:
                for job in self._open.values():
                    job.close()

    def _beat(self, sink: Sink, time_ns: int) -> None:
        sink.try_write(self._reader.heartbeat(self.cursor, time_ns))

    def _hear(self) -> None:
        """Learn which of the jobs that are read have ended."""
        is_last = False
        while not is_last:
            step = self._feed.read(self._heard, self._reader.visible)
            self._heard, is_last = step.until, step.is_last
            for told in step.found:
                record = told.change.record
                if record is None:  # cleaned: only its ID is known
                    found = [job for job in self._open.values() if job.id == told.change.id]
                else:
                    found = [self._open[record.seq]] if record.seq in self._open else []
                for job in found:
                    job.is_finished = record is None or record.state in FINISHED
                    self._set_ready(job)

    # Who joins

    async def _admit(self, sink: Sink) -> None:
        while (room := self._at_once - len(self._open)) > 0:
            number = await self._joining.next(room)
            if number is None or not await self._join(number, sink):
                return

    async def _join(self, number: int, sink: Sink) -> bool:
        """Have a job read; False: not now, as there is no descriptor for it."""
        record = self._store.get_numbered(number)
        if record is None:
            await self._tell_cleaned(number, sink)
            return True
        if not sees(self._reader.visible, record.principal):
            self._joining.leave(number)
            return True
        job = FollowedJob(number, record.id, self._encoder(number, record.id), self._set_ready)
        job.is_finished = record.state in FINISHED
        self._open[number] = job
        try:
            await self._open_log(job, record)
        except OutputError as exc:
            await self._end(job, sink, why=exc.detail)
        except (Unavailable, OSError):
            del self._open[number]
            self._joining.not_now(number)
            if not self._open:
                raise
            self._at_once = len(self._open)  # as many as there are descriptors for
            return False
        else:
            self._reader.on_join(record.id)
            self._set_ready(job)
        return True

    def _encoder(self, number: int, job_id: str) -> JobRecords:
        return self._reader.encoder(job_id, partial(self._joining.cursor, number))

    async def _open_log(self, job: FollowedJob, record: JobRecord) -> None:
        self._try_open(job)
        if not job.has_log and record.state is State.RUNNING:
            with suppress(InsufficientStorage):  # it is made with its first byte, if there is room
                await self._jobs.make_log(job.id)
            self._try_open(job)

    def _try_open(self, job: FollowedJob) -> None:
        offset = self._joining.place.jobs[job.number] or 0
        job.open(self._watcher, self._jobs.files(job.id).log, offset, self._reader.has_room)

    # What is told

    async def _turn(self, job: FollowedJob, sink: Sink) -> None:
        """The next piece of a job, or its end, if there is either."""
        job.is_ready = False
        if self._open.get(job.number) is not job:
            return  # it was over before
        self._joining.begin_turn()
        is_finished, data = job.is_finished, None
        try:
            if not job.has_log:
                self._try_open(job)
            data = await job.next_piece()
            if data is None and is_finished:
                record = self._store.get_numbered(job.number)
                job.check_whole((record and record.output_bytes) or 0)
        except (OutputError, OSError) as exc:
            why = exc.detail if isinstance(exc, JobrunnerError) else str(exc)
            await self._end(job, sink, why=why)
            return
        if data is not None:
            if data:
                await sink.write(data)
            self._joining.told(job.number, job.told)
            self._set_ready(job)
        elif is_finished:
            await self._end(job, sink)
        if not (self._follow or is_finished) and (data is None or job.offset >= job.end_at_opening):
            self._drop(job)

    async def _end(self, job: FollowedJob, sink: Sink, *, why: str | None = None) -> None:
        """Tell the end of a job, which leaves. `why`: some of its output can't be had."""
        self._joining.begin_turn()
        self._joining.ends(job.number)
        record = self._store.get_numbered(job.number)
        told: dict[str, Any] = {"Cleaned": True}
        if record is not None:
            sha256 = None if why is not None else await job.digest()
            told = msgspec.to_builtins(end_record(record, job.log_state, sha256))
        if why is not None:
            told["Error"] = why
        await sink.write(job.encoder.end(told, job.offset))
        self._drop(job)
        self._joining.leave(job.number)

    def _drop(self, job: FollowedJob) -> None:
        job.close()
        del self._open[job.number]

    async def _tell_cleaned(self, number: int, sink: Sink) -> None:
        """The end of a job that was cleaned before all of it was read."""
        found = self._store.changes.cleaned([number], self._reader.visible, since=0)
        if number in found:
            self._joining.begin_turn()
            encoder = self._encoder(number, found[number])
            await sink.write(encoder.end({"Cleaned": True}, 0))
        self._joining.leave(number)

    def _set_ready(self, job: FollowedJob) -> None:
        if not job.is_ready:
            job.is_ready = True
            self._ready.append(job)
            self._wake.set()

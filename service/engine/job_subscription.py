"""A job's output for one reader: from an offset on, then live until the job is finished.

A job may have no log: it is pending, or no byte of its output has come, or none ever will. Which
of these it is, and whether the log is to be made for the reader, is decided here and nowhere else.

1. The state is asked before the log is looked for: of a finished job it is there, or never will be.
2. A log that nobody writes any more ends where it ends, whether it was closed or not. It has at
   least the bytes that the job's record tells of, or it is damaged.
3. A pending job has no output, whatever is in its log: its start is about to be stored. Whoever
   sees output finds the job started.
4. A log may be finished while its job isn't. Whoever saw the end of the output finds the job
   finished, so the end isn't told before.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import msgspec

from service.engine.end_record import end_record
from service.errors import OffsetBeyondEnd, Unavailable, WatcherClosed
from service.files.job import JobFiles
from service.jobs.record import JobRecord
from service.jobs.states import FINISHED, LIVE, State
from service.jobs.views import EndRecord
from service.output import digest
from service.output.formats.encoder import Encoder
from service.output.index import LogState
from service.output.offsets import check_end
from service.output.selected_subscription import SelectedSubscription
from service.output.selection import EVERYTHING, Selection
from service.output.sink import Sink
from service.output.subscription import Subscription
from service.output.watcher import LogWatcher
from service.store import readable


class Jobs(Protocol):
    """What has to be known of a job, and done for it."""

    def show(self, job_id: str) -> JobRecord: ...
    def state(self, job_id: str) -> State: ...
    def output_end(self, job_id: str) -> int: ...
    def files(self, job_id: str) -> JobFiles: ...
    async def make_log(self, job_id: str) -> None: ...
    async def wait_started(self, job_id: str) -> None: ...
    async def wait_finished(self, job_id: str) -> None: ...


class JobSubscription:
    """An async context manager; made by `Outputs.follow`.

    Attributes, once entered:
        length: bytes that `copy_to` will write, when that is known beforehand, else None.
        is_finished: the job was finished when this was entered.
        end_record: once `copy_to` has returned, if it was wanted.
    """

    __slots__ = (
        "_encoder",
        "_follow",
        "_is_over",
        "_job_id",
        "_jobs",
        "_log",
        "_offset",
        "_recorded",
        "_selection",
        "_stream",
        "_watcher",
        "end_record",
        "is_finished",
        "length",
    )

    def __init__(
        self,
        jobs: Jobs,
        watcher: LogWatcher,
        job_id: str,
        encoder: Encoder,
        *,
        offset: int,
        stream: int | None,
        follow: bool,
        selection: Selection = EVERYTHING,
    ) -> None:
        """`selection`: which part of it; its offset and its stream are told as those."""
        self._jobs = jobs
        self._watcher = watcher
        self._job_id = job_id
        self._encoder = encoder
        self._offset = offset
        self._stream = stream
        self._follow = follow
        self._selection = selection
        self._is_over = False
        self._recorded = 0  # bytes that the record tells of
        self._log: Subscription | None = None
        self.length: int | None = None
        self.is_finished = False
        self.end_record: EndRecord | None = None

    async def __aenter__(self) -> Self:
        """Open the log, if there is one; one is made for a running job that is to be followed.

        Raises: UnknownJob, OffsetBeyondEnd, OffsetInGap, InsufficientStorage, Unavailable;
            CorruptLog, when there is less than the record tells of.
        """
        jobs, job_id = self._jobs, self._job_id
        state = jobs.state(job_id)
        self.is_finished = state in FINISHED
        self._is_over = not self._follow or self.is_finished
        self._recorded = 0 if state in LIVE else jobs.output_end(job_id)
        if state is not State.PENDING:
            self._log = await self._open(self._offset, self._selection)
        if self._log is None:
            self._check_empty()
            if self._follow and state is State.RUNNING:
                await jobs.make_log(job_id)
                self._log = await self._open(self._offset, self._selection)
                if self._log is None:
                    self._check_empty()
        if self._is_over:
            self.length = self._encoder.length(0) if self._log is None else self._log.length
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Let go of the log."""
        if self._log is not None:
            self._log.close()

    @property
    def offset(self) -> int:
        """Where the next chunk begins; 0 while there is no log."""
        return 0 if self._log is None else self._log.offset

    @property
    def end(self) -> int | None:
        """Where the part that was selected ends; None when that isn't known yet."""
        if isinstance(self._log, SelectedSubscription):
            return self._log.end
        return None

    @property
    def elided(self) -> tuple[int, int] | None:
        """What is left out between the ends of the part that was selected."""
        return self._log.elided if isinstance(self._log, SelectedSubscription) else None

    @property
    def has_part(self) -> bool:
        """The part that was selected has ended, and the output may go on."""
        return isinstance(self._log, SelectedSubscription) and self._log.is_over

    @property
    def log_state(self) -> LogState:
        """The log's state as last seen: the last one, once `copy_to` has returned."""
        return LogState() if self._log is None else self._log.state

    @property
    def descriptor(self) -> int | None:
        """One of those that the log is read through; None while there is no log."""
        return None if self._log is None else self._log.descriptor

    async def copy_to(self, sink: Sink, *, tells_end: bool = False) -> None:
        """Write the output from `offset` on, encoded, head and end included; return once the job is
        finished, or, when it isn't to be followed, at the end that its log had at opening.
        `tells_end`: the end record is wanted though the format doesn't show it.

        Raises: OutputError, when the rest can't be had; UnknownJob, when the job was cleaned;
            Unavailable, when this worker stops meanwhile; OSError; whatever the sink raises.
        """
        encoder, jobs, job_id = self._encoder, self._jobs, self._job_id
        tells_end = tells_end or encoder.tells_end
        if encoder.needs_origin:
            await self._set_origin()
        if head := encoder.head():
            await sink.write(head)
        if self._log is None and not self._is_over:
            with self._beating(sink):
                await jobs.wait_started(job_id)
            await jobs.make_log(job_id)
            # All of it is still to come, whatever the place to begin at.
            self._log = await self._open(0, self._selection.resumed_at(0))
        if self._log is not None:
            await self._log.copy_to(sink, digests=tells_end)
        if not self._is_over and not self.has_part:
            with self._beating(sink):
                await jobs.wait_finished(job_id)
            check_end(self.log_state.end, jobs.output_end(job_id))
        if tells_end:
            self.end_record = await self._end_record()
        told = msgspec.to_builtins(self.end_record) if encoder.tells_end else {}
        if told and self._selection.is_bounded:
            told["Next"] = self.offset
        if end := encoder.end(told, self.offset):
            await sink.write(end)

    async def _end_record(self) -> EndRecord:
        record = self._jobs.show(self._job_id)
        if record.state in LIVE:
            sha256 = None
        else:
            sha256 = digest.EMPTY if self._log is None else await self._log.digest()
        return end_record(record, self.log_state, sha256)

    async def _set_origin(self) -> None:
        if not self._is_over:
            await self._jobs.wait_started(self._job_id)
        record, spec = readable(self._jobs.show(self._job_id))
        size = None if spec.tty is None else (spec.tty.rows, spec.tty.cols)
        self._encoder.options = replace(
            self._encoder.options, origin_ns=record.started_at or 0, size=size
        )

    def _beating(self, sink: Sink) -> AbstractContextManager[None]:
        """Heartbeats while there is nothing to be read."""
        if not self._encoder.beats:
            return nullcontext()
        return self._watcher.keep_alive.during(partial(self._beat, sink))

    def _beat(self, sink: Sink, time_ns: int) -> None:
        sink.try_write(self._encoder.heartbeat(self.offset, time_ns))

    async def _open(self, offset: int, selection: Selection) -> Subscription | None:
        """None: there is no log."""
        is_selected = selection.seeks or not selection.is_range
        kind = SelectedSubscription if is_selected else Subscription
        try:
            log = kind.open(
                self._watcher,
                self._jobs.files(self._job_id).log,
                self._encoder,
                offset,
                self._stream,
                follow=not self._is_over,
                at_least=self._recorded,
            )
        except FileNotFoundError:
            self._jobs.state(self._job_id)  # it may have been cleaned just now
            return None
        except WatcherClosed as exc:
            raise Unavailable("This worker is stopping.") from exc
        if isinstance(log, SelectedSubscription):
            try:
                await log.select(replace(selection, offset=offset, stream=self._stream))
            except BaseException:
                log.close()
                raise
        return log

    def _check_empty(self) -> None:
        check_end(0, self._recorded)
        if self._offset > 0:
            raise OffsetBeyondEnd(self._offset, 0)

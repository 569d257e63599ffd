"""What there is of a job's output at one moment, for readers of a part of it.

1. The state is asked before the log is looked at: of a finished job all of it is there.
2. A pending job has no output, whatever is in its log: its start is about to be stored.
3. A job without a log has no output yet, or never had any. One that its record tells more of than
   is there is damaged.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from service.engine.job_subscription import Jobs
from service.errors import Unavailable, WatcherClosed
from service.jobs.states import FINISHED, LIVE, State
from service.output.index import LogState
from service.output.lines.line_index import STEP_BYTES
from service.output.lines.window import LineWindow, Wanted, is_numbered, read_window
from service.output.offsets import check_end, checked_offset
from service.output.part import copy_part, wait_beyond
from service.output.places import find_places
from service.output.selection import Selection
from service.output.sink import FileSink
from service.output.watched_log import WatchedLog
from service.output.watcher import LogWatcher


class StoredOutput:
    """An async context manager; made by `Outputs.stored_output`. Offsets count the bytes of
    `stream`, or of both streams for None.

    Attributes, once entered:
        is_finished: the job was finished when it was last looked at.
        log_state: what there was then.
    """

    __slots__ = (
        "_job_id",
        "_jobs",
        "_log",
        "_stream",
        "_watcher",
        "is_finished",
        "log_state",
    )

    def __init__(self, jobs: Jobs, watcher: LogWatcher, job_id: str, stream: int | None) -> None:
        self._jobs = jobs
        self._watcher = watcher
        self._job_id = job_id
        self._stream = stream
        self._log: WatchedLog | None = None
        self.log_state = LogState()
        self.is_finished = False

    async def __aenter__(self) -> Self:
        """Raises: UnknownJob, Unavailable; CorruptLog, when there is less than the record tells."""
        try:
            self._look()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Let go of the log."""
        self._close()

    @property
    def size(self) -> int:
        """How many bytes there were."""
        return self.log_state.size(self._stream)

    @property
    def gap(self) -> tuple[int, int]:
        """What of them was dropped; (0, 0): nothing."""
        return self.log_state.gap.of(self._stream)

    @property
    def descriptor(self) -> int | None:
        """One of those that the log is read through; None while there is no log."""
        return None if self._log is None else self._log.reader.index_fd

    async def begin_of(self, selection: Selection, *, skips_gap: bool) -> int:
        """Where that part begins, of what there was; `size`: there is nothing of it.

        Raises: OffsetBeyondEnd; CorruptLog; OSError.
        """
        begin = checked_offset(selection.offset, self.size, None)
        if self._log is None:
            return begin
        find = partial(find_places, skips_gap=skips_gap)
        _, places = await self._log.in_thread(
            find, self._log.reader, self.log_state, selection, begin
        )
        return places.begin

    async def lines(self, wanted: Wanted, wait_s: float) -> LineWindow:
        """The lines around a place, of all that there was. `wait_s`: how long to wait until the
        index of lines has come there. Without it lines around an offset have no numbers, and none
        is found by its number.

        Raises: CorruptLog; OSError.
        """
        log, state = self._log, self.log_state
        if log is None:
            return LineWindow([], 0, 0, "", 0, 0, state)
        read, index = log.reader, log.lines
        if wait_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not await log.in_thread(is_numbered, read, index, state, wanted):
                        await log.index_on()
        elif not await log.in_thread(is_numbered, read, index, state, wanted, STEP_BYTES):
            await log.index_on()  # one step is enough for most logs, and for one that grows
        return await log.in_thread(read_window, read, index, state, wanted)

    async def wait_for_more(self, timeout_s: float) -> None:
        """Return once there are more than `size` bytes, the job is finished, or the time is over;
        look at the job again.

        Raises: UnknownJob, when it was cleaned; InsufficientStorage, Unavailable, CorruptLog.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait_beyond(self.size)
        except TimeoutError:
            pass  # shown as it is
        except WatcherClosed as exc:
            raise Unavailable("This worker is stopping.") from exc
        self._look()

    async def copy_to(self, sink: FileSink, begin: int, end: int) -> None:
        """Write the bytes from `begin` to before `end`, at most `size`.

        Raises: OutputDropped, where a byte was dropped; CorruptLog; OSError; whatever the sink
            raises.
        """
        if self._log is not None:
            await copy_part(self._log, sink, begin, end, self._stream, self.log_state)

    async def _wait_beyond(self, offset: int) -> None:
        if self._log is None:
            await self._jobs.wait_started(self._job_id)
            await self._jobs.make_log(self._job_id)
            self._look()
        if self._log is not None:
            await wait_beyond(self._log, offset, self._stream)
            if self._log.state.size(self._stream) > offset:
                return
        await self._jobs.wait_finished(self._job_id)

    def _look(self) -> None:
        jobs, job_id = self._jobs, self._job_id
        state = jobs.state(job_id)
        recorded = 0 if state in LIVE else jobs.output_end(job_id)
        if self._log is not None:
            self._log.refresh()
        elif state is not State.PENDING:
            try:
                self._log = self._watcher.watch(jobs.files(job_id).log)
            except FileNotFoundError:
                jobs.state(job_id)  # it may have been cleaned just now
            except WatcherClosed as exc:
                raise Unavailable("This worker is stopping.") from exc
        if self._log is not None:
            self.log_state = self._log.state
        check_end(self.log_state.end, recorded)
        self.is_finished = state in FINISHED

    def _close(self) -> None:
        if self._log is not None:
            self._log.release()
            self._log = None

"""One job in a stream of many: its log, as far as there is one, and what is to be told of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from service.errors import JobrunnerError, OffsetBeyondEnd
from service.output import digest
from service.output.formats.job_records import JobRecords
from service.output.index import LogState
from service.output.offsets import check_end
from service.output.subscription import Subscription
from service.output.watcher import LogWatcher


class FollowedJob:
    """`number` is its place among all jobs. `set_ready` is called whenever its log has changed.

    Attributes:
        is_finished: its end is stored.
        is_ready: it waits for its turn.
        end_at_opening: where its log ended then.
    """

    __slots__ = (
        "_bell",
        "_log",
        "encoder",
        "end_at_opening",
        "id",
        "is_finished",
        "is_ready",
        "number",
    )

    def __init__(
        self,
        number: int,
        job_id: str,
        encoder: JobRecords,
        set_ready: Callable[[FollowedJob], None],
    ) -> None:
        self.number = number
        self.id = job_id
        self.encoder = encoder
        self._bell = partial(set_ready, self)
        self._log: Subscription | None = None
        self.is_finished = False
        self.is_ready = False
        self.end_at_opening = 0

    @property
    def has_log(self) -> bool:
        return self._log is not None

    @property
    def offset(self) -> int:
        return 0 if self._log is None else self._log.offset

    @property
    def told(self) -> int:
        """Where a reader goes on."""
        return self.encoder.told_up_to(self.offset)

    @property
    def log_state(self) -> LogState:
        return LogState() if self._log is None else self._log.state

    def open(
        self, watcher: LogWatcher, directory: str, offset: int, has_room: Callable[[int], None]
    ) -> None:
        """Open its log; nothing happens when there is none. Raises: as `Subscription.open`;
        CorruptLog, when it ends before `offset`; what `has_room` raises when it is told a
        descriptor.
        """
        try:
            log = Subscription.open(watcher, directory, self.encoder, offset)
        except FileNotFoundError:
            return
        except OffsetBeyondEnd as exc:
            check_end(exc.end, offset)  # it was told up to there
            raise
        try:
            has_room(log.descriptor)
            log.call_on_change(self._bell)
        except BaseException:
            log.close()
            raise
        self._log = log
        self.end_at_opening = log.state.end

    async def next_piece(self) -> bytes | None:
        """See `Subscription.next_piece`. Of a finished job None is the end of its output."""
        if self._log is None:
            return None
        if self.is_finished:
            self._log.refresh()  # its end may not have been told of yet
        return await self._log.next_piece()

    def check_whole(self, recorded: int) -> None:
        """Raises: CorruptLog, when less was there than the record tells of."""
        check_end(self.offset, recorded)

    async def digest(self) -> str | None:
        """The SHA-256 of its output; None when that can't be told."""
        try:
            return digest.EMPTY if self._log is None else await self._log.digest()
        except (JobrunnerError, OSError):
            return None

    def close(self) -> None:
        """Let go of the log; doing it again does nothing."""
        if self._log is not None:
            self._log.close_silently(self._bell)
            self._log = None

"""A live job that this worker drives: a model of the lifecycle's machine.

The supervisor's events fire its triggers, and so does what ends a job without the supervisor.
Nothing else changes its state, which is that of its record.
"""

from __future__ import annotations

from msgspec.structs import replace

from service.engine.events import killed_before_start, lost, reduce
from service.jobs.lifecycle import Lifecycle, Trigger
from service.jobs.record import JobRecord
from service.jobs.spec import JobSpec
from service.jobs.states import LIVE, State
from service.kinds.stored import decode_spec
from service.link.job_events import Event


class LiveJob(Lifecycle):
    """`record` as it is to be stored next. `sent` is the last command that this worker has sent to
    the supervisor. After a record couldn't be stored, `is_current` is False until it is read again.
    """

    __slots__ = ("_spec", "has_slot", "is_current", "record", "sent")

    def __init__(
        self,
        record: JobRecord,
        spec: JobSpec | None = None,
        *,
        has_slot: bool = False,
        sent: int = -1,
    ) -> None:
        """`spec`: that in the record, when the caller has decoded it already."""
        self.record = record
        self._spec = spec
        self.has_slot = has_slot
        self.sent = sent
        self.is_current = True

    @property
    def state(self) -> State:
        return self.record.state

    @state.setter
    def state(self, state: State) -> None:
        self.record = replace(self.record, state=state)

    def apply(self, event: Event) -> None:
        """Take in an event of the supervisor. A repeated one leaves the same record.

        Raises: IllegalTransition, and nothing has changed, when the event can't follow the state.
        """
        record, trigger = reduce(self.record, event)
        self._become(record, trigger)
        if event["name"] in ("ended", "refused") and not event["ends_job"]:
            # Stored together with the end of the command before.
            self._dispatch(event["command"] + 1)

    def lose(self, *, at: int, end: int, complete: bool) -> None:
        """End it: the parent of its processes has vanished. Raises: IllegalTransition."""
        self._become(lost(self.record, at=at, end=end, complete=complete), "kill")

    def kill_before_start(self, *, at: int) -> None:
        """End it: it never ran, and its kill was requested. Raises: IllegalTransition."""
        self._become(killed_before_start(self.record, at=at), "kill")

    def dispatch_first(self) -> None:
        """Note that its first command is to be sent, unless one was before."""
        self._dispatch(0)

    def leave_pending(self) -> None:
        """It has no run slot any more, and none of its commands was started."""
        self.has_slot = False
        if self.state is State.PENDING and self.record.dispatched >= 0:
            self.record = replace(self.record, dispatched=-1)

    def command_to_send(self) -> tuple[JobSpec, int] | None:
        """The spec, and the number of the dispatched command that this worker hasn't sent yet."""
        number = self.record.dispatched
        if number <= self.sent:
            return None
        spec = self._spec or decode_spec(self.record.spec)
        self.sent = number
        if number == len(self.record.commands) - 1:
            # The last one: of an idle job little is kept in memory.
            self._spec = None
            self.record = replace(self.record, spec=b"")
        return spec, number

    def stored(self) -> None:
        """The record is stored, as the next revision."""
        self.record = replace(self.record, revision=self.record.revision + 1)

    def forget(self) -> None:
        """The record couldn't be stored, and nothing was sent; a command may be sent again."""
        self.is_current = False
        self.sent = -1

    def read_again(self, record: JobRecord) -> None:
        """This is the record as it is stored now."""
        self.record = record
        self.is_current = True

    def _become(self, record: JobRecord, trigger: Trigger | None) -> None:
        if trigger is not None:
            getattr(self, trigger)()  # raises before anything has changed
            record = replace(record, state=self.state)
        self.record = record

    def _dispatch(self, number: int) -> None:
        if self.state in LIVE and self.record.dispatched < number < len(self.record.commands):
            self.record = replace(self.record, dispatched=number)

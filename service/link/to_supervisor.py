"""The messages that service processes send to the supervisor, each key documented once.

A message with a `request_id` is a request: it is answered by one reply with the same number. The
numbers are the sender's own. `service.link.protocol` says who sends what, and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NotRequired, TypeAlias, TypedDict

from service.link.start import Start
from service.link.values import (
    CommandOrNone,
    Count,
    JobId,
    Priority,
    Seconds,
    Signal,
    TerminalSide,
    TimeNs,
)

# Bytes of input in one message, and those of a job that wait in the supervisor: a pipe's size.
MAX_INPUT_BYTES: Final = 64 << 10
Role: TypeAlias = Literal["worker", "main", "operator"]


class Hello(TypedDict):
    """The first message. A worker is handed jobs from now on, and has both of the last two keys."""

    type: Literal["hello"]
    protocol: int  # the sender's PROTOCOL
    role: Role
    pid: Count
    heartbeats: NotRequired[bool]  # heartbeats follow; without them silence is no sign of death
    max_running: NotRequired[Count]  # run slots of the service
    max_pending: NotRequired[Count]  # jobs that may wait for a slot; 0: any number


class _Request(TypedDict):
    request_id: NotRequired[Count]  # missing: nobody waits for a reply


class Heartbeat(TypedDict):
    """The sender is alive. Nothing answers it."""

    type: Literal["heartbeat"]


class Claim(_Request):
    """Enter a job in the register, to be driven by the sender. See `ClaimReply`."""

    type: Literal["claim"]
    job: JobId
    principal: NotRequired[str]  # who submitted it; missing: nobody in particular
    priority: NotRequired[Priority]  # in the run queue; 0 by default
    priority_changes: NotRequired[Count]  # how often that was changed, by the job's record
    max_running: NotRequired[Count]  # run slots of this principal; 0: any number
    max_pending: NotRequired[Count]  # jobs of this principal that may wait; 0: any number
    queue_timeout_s: NotRequired[Seconds]  # kill it when it has waited this long for a slot; 0: no
    grace_s: NotRequired[Seconds]  # of that kill
    held: NotRequired[bool]  # it gets no run slot before an `unhold`
    stored: NotRequired[bool]  # it has a record already, so no bound on pending jobs refuses it
    dispatched: NotRequired[CommandOrNone]  # by that record: its last dispatched command


class Kill(_Request):
    """Kill a job, pending or running, whoever drives it; or, while it is being killed, send another
    signal and perhaps shorten the grace. The reply is `ok` when it is in the register.
    """

    type: Literal["kill"]
    job: JobId
    signal: Signal  # what the tree gets first; KILL, or 0 seconds of grace: KILL at once
    grace_s: Seconds
    reason: str  # for the receipt
    requested_at: TimeNs  # by this a supervisor knows a message that has come before
    is_repeat: NotRequired[bool]  # for older supervisors: ignored while a kill is under way


class SendSignal(_Request):
    """Send all processes of a job a signal, once; it is no kill. See `SignalReply`. A repeat sends
    it again.
    """

    type: Literal["signal"]
    job: JobId
    signal: Signal
    foreground: NotRequired[bool]  # to those in the foreground of its terminal alone


class Resize(_Request):
    """Give the terminal of a job another size; one of a pending job begins with it. See
    `ResizeReply`.
    """

    type: Literal["resize"]
    job: JobId
    rows: TerminalSide
    cols: TerminalSide


class WriteInput(_Request):
    """A piece of a job's standard input. See `InputReply`, which comes when the job's pipe has
    taken it. With an `offset` a repeat is refused, and changes nothing.
    """

    type: Literal["input"]
    job: JobId
    data: str  # base64, of at most `MAX_INPUT_BYTES`
    offset: NotRequired[Count]  # how much was taken before it; missing: however much
    end: NotRequired[bool]  # the input ends with it


class MakeLog(_Request):
    """Make the log files of a job of which no byte has come yet, as somebody waits for one."""

    type: Literal["make_log"]
    job: JobId


class SetPriority(_Request):
    """Give a job that waits for a run slot another priority. See `PriorityReply`."""

    type: Literal["set_priority"]
    job: JobId
    priority: Priority


class Unhold(_Request):
    """Let a job that is held wait for a run slot: the event `released` tells of it. One that isn't
    held stays as it is. The reply is `ok` when it is in the register.
    """

    type: Literal["unhold"]
    job: JobId


class MeasureUsage(_Request):
    """What do these jobs use now? See `UsageReply`."""

    type: Literal["measure_usage"]
    jobs: Sequence[JobId]


class ListProcesses(_Request):
    """Which processes does the job have now? See `ProcessesReply`."""

    type: Literal["list_processes"]
    job: JobId


class WaitsForInput(_Request):
    """Does a process of the job wait for input now? See `WaitsReply`."""

    type: Literal["waits_for_input"]
    job: JobId


class Ack(TypedDict):
    """All events of a job up to `seq` are stored, and need not be kept any more."""

    type: Literal["ack"]
    job: JobId
    seq: Count
    state: NotRequired[str]  # published as well: see `Publish`


class Release(TypedDict):
    """The job's final record is stored, or it has none: remove it from the register."""

    type: Literal["release"]
    job: JobId
    state: NotRequired[str]  # published as well: see `Publish`


class Publish(TypedDict):
    """A job's record has changed: tell every other worker."""

    type: Literal["publish"]
    job: JobId
    state: str  # its state now


class CloseOrphanedLog(_Request):
    """Repair and close the log of a job whose supervisor died. See `OrphanedLogReply`."""

    type: Literal["close_orphaned_log"]
    job: JobId


class EndKept(_Request):
    """End the processes that a finished job has left running. See `EndKeptReply`, which comes when
    they are gone. A repeat sends its signal as well, and may shorten the grace.
    """

    type: Literal["end_kept"]
    job: JobId
    signal: Signal  # as in `Kill`
    grace_s: Seconds
    reason: str
    requested_at: TimeNs


class Shutdown(_Request):
    """Kill all jobs that run and exit. The sender drives them from now on, to store how they ended;
    pending ones stay pending, see `SlotRevoked`. The reply comes when all are released, just before
    the end.
    """

    type: Literal["shutdown"]
    grace_s: Seconds  # at most; a job's own holds where it is shorter


class Drain(_Request):
    """Accept no job and start none that is pending, until a `resume`. See `DrainReply`."""

    type: Literal["drain"]
    until_start: bool  # the next start of the service ends it
    wait: NotRequired[bool]  # the reply comes when no job runs, or when the drain has ended


class Resume(_Request):
    """End a drain: jobs are accepted, and those that are pending start."""

    type: Literal["resume"]
    at_start: bool  # only one that lasts until the next start of the service, as this is it


class ExitIfIdle(TypedDict):
    """Exit unless a job is in the register: a newer release is to take the place."""

    type: Literal["exit_if_idle"]


class Upgrade(_Request):
    """Execute the code that is installed now, in this process. After an `ok` every connection
    closes.
    """

    type: Literal["upgrade"]


ToSupervisor: TypeAlias = (
    Hello
    | Heartbeat
    | Claim
    | Start
    | Kill
    | SendSignal
    | WriteInput
    | Resize
    | MakeLog
    | SetPriority
    | Unhold
    | MeasureUsage
    | ListProcesses
    | WaitsForInput
    | Ack
    | Release
    | Publish
    | CloseOrphanedLog
    | EndKept
    | Shutdown
    | Drain
    | Resume
    | ExitIfIdle
    | Upgrade
)

"""The messages that the supervisor sends to service processes, each key documented once.

`service.link.protocol` says who gets what, and when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypeAlias, TypedDict

from service.link.job_events import Event, KillReceipt
from service.link.values import CommandOrNone, Count, JobId, Seconds, TimeNs


class SupervisorHello(TypedDict):
    """The first message on a connection. The first two keys stay for ever: by them a service
    process sees that it can't speak with a supervisor of another protocol.
    """

    type: Literal["hello"]
    protocol: int  # the supervisor's PROTOCOL
    version: str  # of its code
    nonce: str  # which supervisor this is; an upgrade keeps it
    upgrades: Count  # how often it has executed new code
    pid: Count
    capabilities: Sequence[str]  # see `service.link.capabilities`
    unsupported_limits: Mapping[str, str | None]  # limit → why it can't be enforced; None: it can
    jobs: Sequence[str]  # the register, in the order of the claims
    draining: NotRequired[TimeNs]  # a drain began then; missing: there is none


# Why a claim is refused.
ClaimRefusal: TypeAlias = Literal[
    "shutting_down",
    "draining",
    "already_claimed",
    "no_descriptors",  # the supervisor is near its limit of open files
    "queue_full",  # as many jobs wait as the service allows
    "fair_share",  # this principal's waiting jobs are as many as the free places for all others
    "principal_limit",  # as many jobs of this principal wait as it may have waiting
]


class _Reply(TypedDict):
    type: Literal["reply"]
    request_id: Count  # of the request
    ok: bool


class Reply(_Reply):
    """To `kill`, `make_log`, `resume`, `shutdown`, `unhold`, `upgrade`."""

    why: NotRequired[str]  # it isn't ok: a sentence


class ClaimReply(_Reply):
    """To `claim`. One that isn't ok changes nothing."""

    has_slot: NotRequired[bool]  # it is ok: the job has a run slot already; else it waits for one
    why: NotRequired[ClaimRefusal]  # it isn't ok


class DrainReply(_Reply):
    """To `drain`. It isn't ok when the drain was ended while the sender waited."""

    running: Count  # jobs that run, or are about to
    pending: Count  # jobs that wait


class EndKeptReply(_Reply):
    """To `end_kept`. It isn't ok when the job has left nothing running."""

    kill: NotRequired[KillReceipt]  # it is ok; the same to a repeat
    is_gone: NotRequired[bool]  # it is ok: no process is there; else some are stuck in the kernel


class OrphanedLogReply(_Reply):
    """To `close_orphaned_log`."""

    end_offset: NotRequired[Count]  # it is ok: bytes in the log
    output_complete: NotRequired[bool]  # it is ok: no byte of output can be missing
    why: NotRequired[str]  # it isn't ok: a sentence; it can be tried again


class PriorityReply(_Reply):
    """To `set_priority`. One that isn't ok changes nothing."""

    changes: NotRequired[Count]  # it is ok: how often the job's priority was changed, with this
    why: NotRequired[Literal["unknown_job", "not_waiting"]]  # it isn't ok


# Why a signal can't be sent.
SignalRefusal: TypeAlias = Literal[
    "unknown_job",
    "pending",  # it has no process yet
    "ended",  # it has none any more
    "not_passed_on",  # what runs is out of reach, and the process in between doesn't pass it on
    "no_foreground",  # it has no terminal, or nothing is in its foreground
]


class SignalReply(_Reply):
    """To `signal`. One that isn't ok changes nothing."""

    processes: NotRequired[Count]  # it is ok: how many got the signal
    why: NotRequired[SignalRefusal]  # it isn't ok


# Why a piece of input isn't taken.
InputRefusal: TypeAlias = Literal[
    "unknown_job",
    "pending",  # no command of it was started yet
    "no_input",  # it has no standard input
    "offset",  # another offset is the present one
    "closed",  # its input was ended, or no process reads it any more
    "ended",  # it is over
    "no_room",  # there was none for it, and there is now: to be sent again
]


class InputReply(_Reply):
    """To `input`. It is ok when the job's pipe has taken the piece, and all before it."""

    offset: NotRequired[Count]  # how much it has taken with it; not ok: how much was taken in all
    why: NotRequired[InputRefusal]  # it isn't ok


class ResizeReply(_Reply):
    """To `resize`. One that isn't ok changes nothing."""

    why: NotRequired[Literal["unknown_job", "ended"]]  # it isn't ok


class UsageNow(TypedDict):
    """What a job that runs has used so far, and uses now; None where nobody can tell."""

    cpu_s: Seconds
    memory_bytes: Count | None
    peak_bytes: Count | None
    processes: Count


class UsageReply(_Reply):
    """To `measure_usage`. A job that has no process, or that there was no time for, is missing."""

    usage: Mapping[str, UsageNow]


class ProcessesReply(_Reply):
    """To `list_processes`. It isn't ok when the job isn't in the register."""

    processes: NotRequired[Sequence[tuple[int, int]]]  # it is ok: pid, start time in clock ticks


class WaitsReply(_Reply):
    """To `waits_for_input`. It isn't ok when the job isn't in the register, or has no input."""

    waits: NotRequired[bool]  # it is ok; missing: nobody can tell


class Rejected(TypedDict):
    """A message that wasn't understood, and that changed nothing. A session also makes one in place
    of a message of the supervisor that it doesn't understand.
    """

    type: Literal["rejected"]
    rejected: str  # the type of that message
    error: str  # for a person; it names keys, and no values
    request_id: NotRequired[Count]  # of that message, if it had one
    job: NotRequired[str]  # as well


class SlotGranted(TypedDict):
    """A job that waited has a run slot now."""

    type: Literal["slot_granted"]
    job: JobId


class SlotRevoked(TypedDict):
    """This supervisor ends, and the job of the receiver stays pending: of none of its commands was
    a process started, nor will one be. The receiver stores that, and releases the job.
    """

    type: Literal["slot_revoked"]
    job: JobId


class DrainingChanged(TypedDict):
    """A drain has begun, or ended."""

    type: Literal["draining_changed"]
    since: TimeNs | None  # None: there is none


class JobChanged(TypedDict):
    """Another worker has published that a job's record changed."""

    type: Literal["job_changed"]
    job: JobId
    state: str


class Adopt(TypedDict):
    """A job is the receiver's now: another worker drove it, or none did."""

    type: Literal["adopt"]
    job: JobId
    has_slot: bool
    dispatched: CommandOrNone  # the last command that was sent to this supervisor
    is_recovered: bool  # it was claimed from its record, so a dead supervisor may have run it
    events: Sequence[Event]  # those that aren't acknowledged, oldest first


AnyReply: TypeAlias = (
    Reply
    | ClaimReply
    | DrainReply
    | EndKeptReply
    | OrphanedLogReply
    | PriorityReply
    | SignalReply
    | InputReply
    | ResizeReply
    | UsageReply
    | ProcessesReply
    | WaitsReply
)
# What a worker is told without having asked.
Notification: TypeAlias = Adopt | SlotGranted | SlotRevoked | Event | JobChanged | Rejected
FromSupervisor: TypeAlias = SupervisorHello | AnyReply | Notification | DrainingChanged

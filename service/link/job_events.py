"""What the supervisor reports of a job, each key documented once: events, repeated until they are
acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypeAlias, TypedDict

from service.link.values import Count, JobId, Seconds, Signal, Status, Text, TimeNs

Outcome: TypeAlias = Literal["exited", "killed"]


class Started(TypedDict):
    """A command was spawned."""

    name: Literal["started"]
    command: Count
    at: TimeNs
    waited_s: NotRequired[Seconds]  # of the first: since the claim


class Released(TypedDict):
    """A job that was held waits for a run slot now."""

    name: Literal["released"]
    at: TimeNs


class Refused(TypedDict):
    """A command couldn't be started."""

    name: Literal["refused"]
    command: Count
    at: TimeNs
    error: str  # a sentence for its record
    ends_job: bool  # no other command will be started


class KillRequested(TypedDict):
    """A kill has begun. It is told once for each job, whoever asked for it first."""

    name: Literal["kill_requested"]
    reason: str
    requested_at: TimeNs
    signal: Signal
    grace_s: Seconds


class Ended(TypedDict):
    """A command's process has ended, and its output as well."""

    name: Literal["ended"]
    command: Count
    at: TimeNs
    status: Status | None  # None: there is none, as it is stuck in the kernel, or `error` says why
    killed: bool  # a signal of a kill was sent before its wait status was read
    ends_job: bool  # no other command will be started
    error: NotRequired[str]  # a sentence for its record
    lasted_s: NotRequired[Seconds]  # since it was spawned, by a clock that nobody sets
    oom_killed: NotRequired[bool]  # the kernel has killed one of its processes for lack of memory
    facts: NotRequired[Mapping[str, Text]]  # what its view tells besides, as its Kind names it


class LaterKill(TypedDict):
    """A request while the kill was under way. Its signal was sent."""

    requested_at: TimeNs
    signal: Signal
    grace_s: Seconds


class KillReceipt(TypedDict):
    """A kill as it went."""

    reason: str
    requested_at: TimeNs
    signal: Signal
    grace_s: Seconds  # that of the request that ended the grace
    later: NotRequired[Sequence[LaterKill]]  # oldest first; missing: of an older supervisor
    found: Count  # processes that were found
    escalated: bool  # KILL was sent after another signal
    verified_gone: bool  # no process was left, as far as can be seen


class Usage(TypedDict):
    """What a job has used, None where nobody counted."""

    cpu_s: Seconds
    peak_bytes: Count | None


class LeftProcess(TypedDict):
    """A process that was running when its job had ended by itself."""

    pid: Count
    command: str  # as the kernel names it, at most 15 bytes


class Finished(TypedDict):
    """Nothing of the job is left, but for what its commands have kept. Its last event."""

    name: Literal["finished"]
    outcome: Outcome
    at: TimeNs
    end_offset: Count  # bytes in the log
    output_complete: bool  # no byte of output can be missing
    kill: KillReceipt | None  # None: it wasn't killed
    usage: Usage | None  # None: no command was spawned
    left: NotRequired[Sequence[LeftProcess]]  # what was ended with the job; missing: nothing
    kept: NotRequired[Sequence[LeftProcess]]  # what goes on, as its command asked; missing: nothing
    lasted_s: NotRequired[Seconds]  # since its first command, by a clock that nobody sets
    input_offset: NotRequired[Count]  # how much input was taken; missing: it had none


EventBody: TypeAlias = Started | Released | Refused | KillRequested | Ended | Finished


class _Event(TypedDict):
    type: Literal["event"]
    job: JobId
    seq: Count  # from 1, without a gap; it comes again until it is acknowledged


class StartedEvent(_Event, Started): ...


class ReleasedEvent(_Event, Released): ...


class RefusedEvent(_Event, Refused): ...


class KillRequestedEvent(_Event, KillRequested): ...


class EndedEvent(_Event, Ended): ...


class FinishedEvent(_Event, Finished): ...


class UnknownEvent(_Event):
    """The session makes this of an event with another name, which a newer supervisor may send. It
    is acknowledged like any other, and changes nothing.
    """

    name: Literal["unknown"]


Event: TypeAlias = (
    StartedEvent
    | ReleasedEvent
    | RefusedEvent
    | KillRequestedEvent
    | EndedEvent
    | FinishedEvent
    | UnknownEvent
)

"""The messages that service processes send to the supervisor, each key documented once.

A message with a `request_id` is a request: it is answered by one reply with the same number. The
numbers are the sender's own. `service.link.protocol` says who sends what, and when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NotRequired, TypeAlias, TypedDict

from service.link.values import (
    Argv,
    CommandOrNone,
    Count,
    FileMode,
    JobId,
    Priority,
    Processors,
    RunAs,
    Seconds,
    Signal,
    StatusRange,
    TerminalSide,
    Text,
    TimeNs,
)

# Bytes of input in one message, and those of a job that wait in the supervisor: a pipe's size.
MAX_INPUT_BYTES: Final = 64 << 10
Role: TypeAlias = Literal["worker", "main", "operator"]
EndIf: TypeAlias = Literal["always", "never", "nonzero"]


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


class Limits(TypedDict):
    """Resource limits; a missing one isn't set. The first three bind the job as a whole, the last
    two each of its processes.
    """

    memory: NotRequired[Count]  # bytes
    cpus: NotRequired[Processors]  # processors
    pids: NotRequired[Count]
    open_files: NotRequired[Count]
    file_size: NotRequired[Count]  # bytes


class InitialFile(TypedDict):
    """A file that is in the job's working directory from the first."""

    path: Text  # relative to it
    data: str  # base64
    mode: FileMode


class TerminalKeys(TypedDict):
    """A terminal of a command."""

    rows: TerminalSide
    cols: TerminalSide
    controls: bool  # it is the controlling terminal; else the program sees to that


class StartKeys(TypedDict):
    """The keys of `start` that the Kind of the command decides."""

    argv: Argv
    env: Mapping[Text, Text]
    as_service_user: NotRequired[bool]  # it runs as the supervisor's user, not as the job's
    no_new_privs: NotRequired[bool]  # with PR_SET_NO_NEW_PRIVS
    one_pipe: NotRequired[bool]  # both streams of output are one pipe, and logged as stdout
    passes_on: NotRequired[Sequence[Signal]]  # signals that reach what it runs; missing: all
    is_wrapped: NotRequired[bool]  # it and its child hold what runs: only a kill is sent to them
    keep: NotRequired[bool]  # what it leaves goes on when the job has ended by itself
    terminal: NotRequired[TerminalKeys]  # its input and its output; that of the job's first command

    script: NotRequired[Text]  # put into the command's script file, which is gone after it
    input: NotRequired[Text]  # its standard input, a file in memory; missing: it has none
    input_index: NotRequired[Count]  # the item of argv that becomes the path of that file instead
    fd_options: NotRequired[Sequence[Text]]  # read by it from a descriptor, each ended by NUL
    fd_options_index: NotRequired[Count]  # the item of argv that becomes the descriptor's number

    # Programs of the service that run after the command, in an environment of their own.
    hook_env: NotRequired[Mapping[Text, Text]]
    status_probe: NotRequired[Sequence[Text]]  # argv; it finds out how the command really ended
    probe_if: NotRequired[Sequence[StatusRange]]  # the wait statuses after which it runs
    cleanup: NotRequired[Sequence[Text]]  # argv; after a command that ended in the ordinary way
    force_cleanup: NotRequired[Sequence[Text]]  # argv; after any other, or when there is no other


class Start(StartKeys):
    """Start a command of a job that has a run slot. Only the worker that drives the job may; a
    repeat and a start after a kill are ignored. Events say what became of it.
    """

    type: Literal["start"]
    job: JobId
    command: Count  # its number in the job, from 0
    refusal: NotRequired[str]  # it can't be run: this sentence is its error, and nothing is spawned

    cwd: Text  # an absolute path
    create_cwd: bool  # it lies in the job's working directory, and is made when it is missing
    work_dir_mode: NotRequired[FileMode]  # of the job's working directory, when it is made
    files: NotRequired[Sequence[InitialFile]]  # made along with that directory
    run_as: NotRequired[RunAs]  # the job's user: it owns the working directory
    limits: Limits  # those of the job's first command hold
    stdin: NotRequired[bool]  # the job's input is its standard input; see `WriteInput`

    end_if: EndIf  # when the end of this command is the job's: `nonzero`: it didn't exit with 0
    drain_s: Seconds  # how long to wait for the end of output once its process has ended
    timeout_s: Seconds  # of the job, from its first command on; 0: none
    idle_timeout_s: Seconds  # of the job, without a byte of output; 0: none
    grace_s: Seconds  # from TERM to KILL when the supervisor kills the job by itself
    output_limit_bytes: Count  # only the newest bytes of the log are kept; 0: all


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

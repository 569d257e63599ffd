"""The responses of the API, as its callers get them: every key always present, null when it has no
value.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from service.host.process_states import PROCESS_STATES
from service.jobs.limits import Limits
from service.jobs.states import JOB_STATES, Reason, State
from service.jobs.terminal import Terminal


def _as(**schema: Any) -> msgspec.Meta:
    """What the description of the API says beyond the type."""
    return msgspec.Meta(extra_json_schema=schema)


JobID = Annotated[str, _as(format="uuid")]
Time = Annotated[str, _as(format="date-time")]
JobState = Annotated[str, _as(enum=[state.value for state in JOB_STATES])]
CommandState = Annotated[str, _as(enum=[state.value for state in State])]
WhyKilled = Annotated[str, _as(enum=[reason.value for reason in Reason])]
SignalName = Annotated[str, _as(pattern="^SIG[A-Z0-9+]+$")]


class OutputView(msgspec.Struct, frozen=True, rename="pascal"):
    """What there is of the output of a job."""

    bytes: int
    complete: bool
    gaps: list[tuple[int, int]]
    exact: bool


class ExcerptView(msgspec.Struct, frozen=True, rename="pascal"):
    """Both ends of the output, in at most as many bytes as were asked for; replacement characters
    stand for what isn't UTF-8. `text` has the bytes of `head` and of `tail`, (from, to), and a mark
    in the place of those that are `elided`.
    """

    text: str
    head: tuple[int, int]
    tail: tuple[int, int]
    elided: tuple[int, int] | None


class KillView(msgspec.Struct, frozen=True, rename="pascal"):
    """The receipt of a kill."""

    requested_at: Time
    signal: SignalName
    signals: list[SignalName]
    grace: float
    found: int | None
    escalated: bool | None
    verified_gone: bool | None


class UsageView(msgspec.Struct, frozen=True, rename="pascal"):
    """What a job has used; while it runs: so far. Null where nobody can tell."""

    cpu_seconds: float | None = msgspec.field(name="CPUSeconds")
    peak_memory: int | None
    memory: int | None = None
    processes: int | None = None


class ProcessView(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A process of a job."""

    pid: int = msgspec.field(name="PID")
    parent: int
    command: str
    state: Annotated[str, _as(enum=list(PROCESS_STATES))]
    cpu_seconds: float = msgspec.field(name="CPUSeconds")
    memory: int
    started_at: Time


class LeftView(msgspec.Struct, frozen=True, rename="pascal"):
    """A process that was running when its job had ended by itself."""

    pid: int = msgspec.field(name="PID")
    command: str
    kept: bool


class JobView(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One job."""

    id: JobID = msgspec.field(name="ID")
    name: str | None
    labels: dict[str, str]
    state: JobState
    reason: WhyKilled | None
    exit_code: int | None
    signal: SignalName | None
    error: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    duration: float | None
    working_dir: str
    environment: list[str]
    timeout: float | None
    idle_timeout: float | None
    queue_timeout: float | None
    priority: int
    grace: float
    commands: list[dict[str, Any]]
    limits: Limits
    hold: bool
    files: list[str]
    usage: UsageView
    output: OutputView
    kill: KillView | None
    left: list[LeftView]
    stdin: bool = False
    tty: Terminal | None = msgspec.field(name="TTY")
    waiting_for_input: bool | None
    processes: list[ProcessView] | msgspec.UnsetType | None = msgspec.UNSET
    excerpt: ExcerptView | msgspec.UnsetType = msgspec.UNSET


class OutcomeView(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """How one command stands; its view has this beside all that its Kind has."""

    state: CommandState
    exit_code: int | None
    signal: SignalName | None
    error: str | None
    started_at: Time | None
    finished_at: Time | None
    duration: float | None
    oom_killed: bool = msgspec.field(name="OOMKilled")


class EndRecord(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What a reader of output is told last. The counts are bytes of output, dropped ones too;
    `sha256` is of the whole output of a finished job, null when some of it was dropped.
    """

    state: JobState
    reason: WhyKilled | None
    exit_code: int | None
    signal: SignalName | None
    bytes: int
    stdout: int
    stderr: int
    sha256: str | None = msgspec.field(name="SHA256")


class Accepted(msgspec.Struct, frozen=True):
    """A job that was submitted, or cleaned."""

    id: JobID = msgspec.field(name="ID")


class LineView(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A line of the output, or a piece of one of more than 64 KiB: the bytes from `offset` to
    before `end`. `stream`, `command` and `time` are those of its first byte. One of `text` and
    `data` is there, without the line's end; `partial` where there is none. `line` counts from 1,
    and is null where the index hasn't come to yet.
    """

    line: int | None
    offset: int
    end: int
    time: Time
    stream: Annotated[str, _as(enum=["stdout", "stderr"])]
    command: int
    text: str | msgspec.UnsetType = msgspec.UNSET
    data: bytes | msgspec.UnsetType = msgspec.UNSET
    partial: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def content(self) -> bytes:
        """Its bytes, without its end."""
        if isinstance(self.text, str):
            return self.text.encode()
        return self.data if isinstance(self.data, bytes) else b""


class LinesView(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Lines around a place. Between the offsets `begin` and `end` there are no others. `sgr` is the
    escape sequence of the colours that are set where the first line begins, null when that isn't
    known yet. There are `total` lines in the first `indexed` of the `size` bytes. The bytes in
    `gap` were dropped. `finished`: there will be no more.
    """

    lines: list[LineView]
    total: int
    begin: int
    end: int
    size: int
    indexed: int
    sgr: str | None
    gap: tuple[int, int] | None
    finished: bool


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A file of a job. `Path` is relative to the directory that was asked for, percent-encoded as
    in a URL, and so exact for any bytes; in `Name` U+FFFD stands for bytes that aren't UTF-8.
    """

    name: str
    path: str
    type: Annotated[str, _as(enum=["file", "directory", "symlink", "other"])]
    size: int
    modified_at: Time
    mode: Annotated[str, _as(pattern="^[0-7]{4}$")]


class FileListing(msgspec.Struct, frozen=True, rename="pascal"):
    """One page; `Next`, when there is more, is what `after` takes."""

    entries: list[FileEntry]
    next: str | msgspec.UnsetType = msgspec.UNSET


class Unpacked(msgspec.Struct, frozen=True, rename="pascal"):
    """How many entries an archive had."""

    entries: int


class Killed(msgspec.Struct, frozen=True, rename="pascal"):
    """`State` is null when there is no such job; the ID is as it was given."""

    id: str = msgspec.field(name="ID")
    state: JobState | None


class Signalled(msgspec.Struct, frozen=True, rename="pascal"):
    """`Processes` got the signal."""

    id: JobID = msgspec.field(name="ID")
    signal: str
    processes: int


class InputTaken(msgspec.Struct, frozen=True, rename="pascal"):
    """`Offset` is how many bytes of input the job's pipe has taken."""

    offset: int


class Resized(msgspec.Struct, frozen=True, rename="pascal"):
    """The size that a terminal has now."""

    id: JobID = msgspec.field(name="ID")
    rows: int
    cols: int


class UntouchedView(msgspec.Struct, frozen=True, rename="pascal"):
    """A job that was selected, and to which nothing was done; `State` is null when it is gone."""

    id: JobID = msgspec.field(name="ID")
    state: JobState | None
    why: str


class KilledJobs(msgspec.Struct, frozen=True, rename="pascal"):
    """`More`: there are selected jobs that weren't come to; the same request goes on with them."""

    killed: list[Killed]
    untouched: list[UntouchedView]
    more: bool


class CleanedJobs(msgspec.Struct, frozen=True, rename="pascal"):
    """`More`: as in `KilledJobs`."""

    cleaned: list[JobID]
    untouched: list[UntouchedView]
    more: bool


class Listing(msgspec.Struct, frozen=True, rename="pascal"):
    """One page; `Next`, when there is more, is what `after` takes. `Total` counts the jobs of all
    pages.
    """

    ids: list[JobID] = msgspec.field(name="IDs")
    total: int
    jobs: list[JobView] | msgspec.UnsetType = msgspec.UNSET
    next: str | msgspec.UnsetType = msgspec.UNSET


class Live(msgspec.Struct, frozen=True, rename="pascal"):
    status: Annotated[str, _as(enum=["live"])] = "live"


class CheckView(msgspec.Struct, frozen=True, rename="pascal"):
    """`Why` says what is wrong when it isn't `Ok`; else what is worth knowing, if anything."""

    ok: bool
    why: str | None


class KindView(msgspec.Struct, frozen=True, rename="pascal"):
    """Whether commands of a Kind would run now; null while that isn't known."""

    usable: bool | None
    error: str | None


class Ready(msgspec.Struct, frozen=True, rename="pascal"):
    checks: dict[str, CheckView]
    kinds: dict[str, KindView]
    status: Annotated[str, _as(enum=["ready"])] = "ready"

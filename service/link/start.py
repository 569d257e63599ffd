"""The message that starts a command, each key documented once: what it is and what it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypeAlias, TypedDict

from service.link.values import (
    Argv,
    Count,
    FileMode,
    JobId,
    Processors,
    RunAs,
    Seconds,
    Signal,
    StatusRange,
    TerminalSide,
    Text,
)

EndIf: TypeAlias = Literal["always", "never", "nonzero"]


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
    signaller: NotRequired[Sequence[Text]]  # argv; it sends what runs a signal, see `exit_hooks`


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

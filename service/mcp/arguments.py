"""What each tool takes: structs, whose JSON schema it declares. Anything else is refused."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from service.mcp.keys import PATTERN

MAX_WAIT_S: Final = 45
"""Hosts cut a call after 60 seconds; what is left is for the answer."""
DEFAULT_BYTES: Final = 16_000
MIN_BYTES: Final = 500
MAX_BYTES: Final = 100_000
MAX_JOBS: Final = 50

# Bounds stand at a type, descriptions at what may be null as well.
Offset = Annotated[int, Meta(ge=0)]
Lines = Annotated[int, Meta(ge=1, le=100_000)]
LineNumber = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]
KeyName = Annotated[str, Meta(pattern=PATTERN)]
Key = Annotated[str, Meta(min_length=1, max_length=255)]

JobID = Annotated[str, Meta(description="The job's ID, as `run` told it.", min_length=1)]
Budget = Annotated[
    int, Meta(ge=MIN_BYTES, le=MAX_BYTES, description="Bytes of output in the answer, at most.")
]


def _wait(description: str) -> Meta:
    return Meta(ge=0, le=MAX_WAIT_S, description=description)


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of any tool."""


class Run(Arguments, frozen=True, kw_only=True):
    command: Annotated[str | None, Meta(description="A command line for bash.")] = None
    commands: Annotated[
        list[str | dict[str, Any]] | None,
        Meta(
            description="Several, one after the other until one fails: command lines for bash, or"
            ' objects such as {"Kind": "docker", "Image": "python:3.12", "CommandLine": "…"}.'
        ),
    ] = None
    cwd: Annotated[
        str | None,
        Meta(description="An absolute directory, or one in the job's own directory (the default)."),
    ] = None
    env: Annotated[dict[str, str], Meta(description="Variables of its environment.")] = {}
    name: Annotated[str | None, Meta(description="A name to find the job by.")] = None
    stdin: Annotated[
        bool, Meta(description="Whether it has an input, for `send` (default: it is empty).")
    ] = False
    timeout_s: Annotated[Positive | None, Meta(description="Kill the job after so long.")] = None
    wait_s: Annotated[float, _wait("Seconds to wait for its end; then it goes on without you.")] = (
        30
    )
    max_bytes: Budget = DEFAULT_BYTES
    key: Annotated[
        Key | None,
        Meta(
            description="With the same key and arguments the same job is told, not run again.",
        ),
    ] = None


_EXCLUSIVE: Final = (
    ("tail", "offset"),
    ("tail", "end"),
    ("tail", "grep"),
    ("line", "offset"),
    ("line", "tail"),
    ("line", "grep"),
)
"""Parameters of `read` that aren't given together."""


class Read(Arguments, frozen=True, kw_only=True):
    job: JobID
    offset: Annotated[
        Offset | None, Meta(description="The first byte (default: 0). See next_offset.")
    ] = None
    end: Annotated[Offset | None, Meta(description="Stop before this byte.")] = None
    tail: Annotated[Lines | None, Meta(description="Instead of offset: the last lines.")] = None
    line: Annotated[
        LineNumber | None,
        Meta(description="Instead of offset: the number of a line, from 1."),
    ] = None
    grep: Annotated[Text | None, Meta(description="Only lines that match (syntax of RE2).")] = None
    context: Annotated[int, Meta(ge=0, le=100, description="Lines around each that matches.")] = 0
    ignore_case: bool = False
    max_bytes: Budget = DEFAULT_BYTES
    wait_s: Annotated[
        float, _wait("Seconds to wait for a byte at the offset, if there is none yet.")
    ] = 0

    def __post_init__(self) -> None:
        for name, other in _EXCLUSIVE:
            if getattr(self, name) is not None and getattr(self, other) is not None:
                raise ValueError(f"Expected one of {name} and {other}, got both.")
        if self.end is not None and self.end < (self.offset or 0):
            raise ValueError(f"Expected an end behind the offset, got {self.end}.")
        if self.grep is None and (self.context or self.ignore_case):
            raise ValueError("Expected grep, which context and ignore_case belong to.")


class Wait(Arguments, frozen=True, kw_only=True):
    jobs: Annotated[
        list[JobID], Meta(min_length=1, max_length=MAX_JOBS, description="IDs of jobs.")
    ]
    until: Annotated[
        Literal["any", "all"], Meta(description="Until one of them has ended, or all of them.")
    ] = "all"
    wait_s: Annotated[float, _wait("Seconds to wait at most.")] = 30


class Send(Arguments, frozen=True, kw_only=True):
    job: JobID
    text: Annotated[str | None, Meta(description="What is typed; see newline.")] = None
    newline: Annotated[bool, Meta(description="Whether text is a line.")] = True
    key: Annotated[
        KeyName | None,
        Meta(
            description="Instead of text, in a terminal: C-a to C-z, C-\\, Enter, Tab, Escape,"
            " Backspace, Delete, Up, Down, Left, Right, Home, End, PageUp, PageDown."
        ),
    ] = None
    eof: Annotated[bool, Meta(description="Whether the input ends with that.")] = False
    offset: Annotated[
        Offset | None,
        Meta(
            description="next_input of the answer before: with it a call that is repeated types"
            " nothing twice."
        ),
    ] = None
    wait_s: Annotated[float, _wait("Seconds to wait for the job to read it.")] = 10

    def __post_init__(self) -> None:
        if self.text is not None and self.key is not None:
            raise ValueError("Expected one of text and key, got both.")
        if self.key is not None and self.key.endswith("\n"):  # which a pattern's `$` lets pass
            raise ValueError("Expected the name of a key, got one with a newline.")
        if self.text is None and self.key is None and not self.eof:
            raise ValueError("Expected text, key or eof, got none of them.")


class Kill(Arguments, frozen=True, kw_only=True):
    job: JobID
    signal: Annotated[
        str | None, Meta(description="The first signal, such as INT (default: TERM).")
    ] = None
    grace_s: Annotated[
        Seconds | None,
        Meta(description="Seconds until KILL (default: the job's; 0: at once)."),
    ] = None
    wait_s: Annotated[float, _wait("Seconds to wait for its end.")] = 30


class Files(Arguments, frozen=True, kw_only=True):
    job: JobID
    path: Annotated[
        str, Meta(description="Relative to the job's directory; empty: the directory itself.")
    ] = ""
    recursive: Annotated[bool, Meta(description="List what is below directories, too.")] = False
    offset: Annotated[int, Meta(ge=0, description="Of a file: the first byte to read.")] = 0
    write: Annotated[
        str | None, Meta(description="Write this text to the path, in the place of what is there.")
    ] = None
    remove: Annotated[bool, Meta(description="Remove what is there, directories as a whole.")] = (
        False
    )
    max_bytes: Budget = DEFAULT_BYTES

    def __post_init__(self) -> None:
        if self.write is not None and self.remove:
            raise ValueError("Expected one of write and remove, got both.")
        if (self.write is not None or self.remove) and not self.path.strip("/"):
            raise ValueError("Expected a path, which write and remove need.")


class ListJobs(Arguments, frozen=True, kw_only=True):
    state: Annotated[
        list[Literal["pending", "running", "exited", "killed"]] | None,
        Meta(description="Jobs in one of these states (default: all)."),
    ] = None
    name: Annotated[str | None, Meta(description="This name; `nightly*`: names that begin so.")] = (
        None
    )
    label: Annotated[dict[str, str], Meta(description="All of these labels.")] = {}
    since: Annotated[
        str | None, Meta(description="Submitted then or later: RFC 3339, or 90s, 10m, 2h, 7d ago.")
    ] = None
    until: Annotated[str | None, Meta(description="Submitted before that, written alike.")] = None
    exit_code: Annotated[
        int | Literal["nonzero"] | None, Meta(description="Finished with it, or not with 0.")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Jobs in the answer, at most.")] = 50
    max_bytes: Budget = DEFAULT_BYTES

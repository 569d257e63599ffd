"""All that a supervisor knows, as JSON, for the next image of its process: one tree of dataclasses,
one encoder, one decoder.

The annotations are the format: dataclasses, enumerations, bytes, containers of these, and what JSON
has. A field that has a default may be missing; a key that this release doesn't know is ignored.
"""

from __future__ import annotations

import functools
import types
import typing
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, Final, TypeVar, Union, get_args, get_origin

from service.supervisor.job.background import Background
from service.supervisor.job.effects import Timer
from service.supervisor.job.exit_hooks import ExitHooks
from service.supervisor.job.input import InputSnapshot
from service.supervisor.job.limits import LimitsSnapshot
from service.supervisor.job.log import LogSnapshot
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.stopwatch import Stopwatch
from service.supervisor.job.terminal import JobTerminal
from service.supervisor.job.usage import Usage
from service.supervisor.process.tree import TreeSnapshot

# The layout of a snapshot; raised whenever a reader of another layout would misread it.
VERSION: Final = 2


@dataclass(slots=True, kw_only=True)
class JobSnapshot:
    """One job. `pids`: its commands, status probe and cleanup that aren't reaped. `timers`: when
    each of them fires, by the monotonic clock, which goes on over an exec. `left`: what was
    running when it had ended by itself.
    """

    id: str
    machine: JobMachine
    grace_s: float
    timers: dict[Timer, float]
    pids: list[int]
    tree: TreeSnapshot | None
    log: LogSnapshot | None
    hooks: ExitHooks
    limits: LimitsSnapshot
    usage: Usage
    left: list[dict[str, Any]] = field(default_factory=list)
    background: Background = field(default_factory=Background)
    stopwatch: Stopwatch = field(default_factory=lambda: Stopwatch(claimed=0.0))
    input: InputSnapshot | None = None
    terminal: JobTerminal | None = None

    @property
    def descriptors(self) -> list[int]:
        """Those that the next image inherits for this job."""
        found = [self.hooks.report] if self.hooks.report >= 0 else []
        if self.log is not None:
            found += [*(self.log.files or ()), *(pipe for pipe, _, _ in self.log.pipes)]
        if self.input is not None:
            found += [end for end in (self.input.writer, self.input.reader) if end >= 0]
        if self.terminal is not None and self.terminal.master >= 0:
            found.append(self.terminal.master)
        return found


@dataclass(slots=True, kw_only=True)
class EntrySnapshot:
    """An entry of the register. `is_waiting`: it stands in the run queue."""

    job: JobSnapshot
    has_slot: bool
    is_waiting: bool
    priority: int
    principal: str
    max_running: int
    seq: int
    is_recovered: bool
    events: list[dict[str, Any]]
    priority_changes: int = 0
    is_held: bool = False


@dataclass(slots=True, kw_only=True)
class RegisterSnapshot:
    """The register, in the order of the claims, which is that of the run queue as well."""

    max_running: int = 1
    entries: list[EntrySnapshot] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SocketSnapshot:
    """`listener`, `lock` and `directory` are descriptors; `file` identifies the socket's file by
    device and inode.
    """

    listener: int
    file: tuple[int, int]
    lock: int
    directory: int


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """A supervisor. `upgrades`: how often this process became new code. `child_soft` and
    `oom_of_jobs`: as the first image of it found them; None: by itself.
    """

    nonce: str
    socket: SocketSnapshot
    upgrades: int = 0
    child_soft: int | None = None
    oom_of_jobs: int | None = None
    register: RegisterSnapshot = field(default_factory=RegisterSnapshot)
    version: int = VERSION

    @property
    def descriptors(self) -> list[int]:
        """Those that the next image inherits."""
        found = [self.socket.listener, self.socket.lock, self.socket.directory]
        for entry in self.register.entries:
            found += entry.job.descriptors
        return found


T = TypeVar("T")

_COLLECTIONS: Final[dict[Any, Callable[[list[Any]], Any]]] = {
    list: list,
    Sequence: list,
    set: set,
    deque: deque,
}


def to_json(value: Any) -> Any:
    """The value as JSON has it; a mapping whose keys aren't strings becomes a list of pairs."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        items = [(to_json(key), to_json(item)) for key, item in value.items()]
        return dict(items) if all(isinstance(key, str) for key, _ in items) else items
    if isinstance(value, Collection) and not isinstance(value, str):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], value: Any) -> T:
    """A value of this type. Raises: TypeError, ValueError, KeyError, when it isn't one."""
    decoded: T = _decoded(kind, value)
    return decoded


def _decoded(kind: Any, value: Any) -> Any:  # noqa: PLR0911 - one line for each sort of type
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # of a type and None
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _decoded(inner, value)
    if origin in _COLLECTIONS:
        return _COLLECTIONS[origin]([_decoded(arguments[0], item) for item in value])
    if origin is tuple:
        return tuple(_decoded(inner, item) for inner, item in zip(arguments, value, strict=True))
    if origin is dict:
        items = value.items() if isinstance(value, dict) else value
        return {_decoded(arguments[0], k): _decoded(arguments[1], item) for k, item in items}
    if (hints := _hints(kind)) is not None:
        return kind(**{n: _decoded(hints[n], item) for n, item in value.items() if n in hints})
    if issubclass(kind, Enum):
        return kind(value)
    if kind is bytes:
        return b64decode(value)
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any] | None:
    """The types of a dataclass's fields; None for another class."""
    if not is_dataclass(kind):
        return None
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}

"""How far each of Sanic's workers is, in memory that the main process shares with them.

Sanic keeps these states in a process of its own, a `multiprocessing.Manager`, and its main process
fails without it. Here the main process keeps them itself. The only two facts that a worker reports,
that it has loaded and that it serves, are bits of a byte in shared memory.

Rules
1. Only a worker sets its bits, and only the main process clears them, before it spawns that worker.
2. A worker has a copy of the states, as they were when it was spawned, and reads only its own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

from sanic.worker.constants import ProcessState

from service.host.heartbeats import SLOTS, slot_of

_ACKED: Final = 1
_SERVING: Final = 2


class WorkerStates(MutableMapping[str, Any]):
    """By the name of the process, as Sanic has them. Unpickling makes that of a worker."""

    def __init__(self) -> None:
        self._bits: Any = multiprocessing.get_context("spawn").RawArray("B", SLOTS)
        self._states: dict[str, Any] = {}
        self._is_main = True

    def __reduce__(self) -> tuple[Callable[..., WorkerStates], tuple[Any, dict[str, Any]]]:
        return _of_worker, (self._bits, dict(self._states))

    def __getitem__(self, name: str) -> Any:
        state = self._states[name]
        if (slot := slot_of(name)) is None:
            return state
        bits = self._bits[slot]
        seen = {**state, "serving": bool(bits & _SERVING)}
        if bits & _ACKED and state.get("state") == ProcessState.STARTED.name:
            seen["state"] = ProcessState.ACKED.name
        return seen

    def __setitem__(self, name: str, state: Any) -> None:
        self._states[name] = state
        if (slot := slot_of(name)) is None:
            return
        if not self._is_main:
            is_acked = state.get("state") == ProcessState.ACKED.name
            self._bits[slot] = _ACKED * is_acked | _SERVING * bool(state.get("serving"))
        elif state.get("state") == ProcessState.STARTING.name:
            self._bits[slot] = 0

    def __delitem__(self, name: str) -> None:
        del self._states[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._states))

    def __len__(self) -> int:
        return len(self._states)


def _of_worker(bits: Any, states: dict[str, Any]) -> WorkerStates:
    found = WorkerStates.__new__(WorkerStates)
    found._bits, found._states, found._is_main = bits, states, False  # noqa: SLF001 - its own class
    return found


class NoManager:
    """Stands in for the `multiprocessing.Manager` that Sanic starts, without a process."""

    def dict(self) -> WorkerStates:
        """What Sanic keeps the states in."""
        return WorkerStates()

    def shutdown(self) -> None:
        """There is nothing to end."""

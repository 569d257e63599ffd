"""What a job leaves running when it has ended by itself: told, and ended with it or kept.

A process is named as the kernel names it. Its command line lies in its own memory, where reading
may take for ever. Source: proc(5), /proc/pid/comm.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final, cast

from service.host.event_log import log_event
from service.host.procfs import Process
from service.link.job_events import LeftProcess
from service.supervisor.job.background import Background
from service.supervisor.process.tree import Choice, Tree

# Entries of one record; more of the same say nothing.
MAX_LEFT: Final = 100


class Leftovers:
    """Those of one job. `ended`: what was ended, or is being ended, with the job."""

    __slots__ = ("_id", "background", "ended")

    def __init__(self, job_id: str) -> None:
        self._id = job_id
        self.background = Background()
        self.ended: list[LeftProcess] = []

    def resume(self, background: Background, ended: list[dict[str, Any]]) -> None:
        """Go on with what an earlier image of this process knew."""
        self.background, self.ended = background, cast("list[LeftProcess]", ended)

    def choice(self, *, is_killed: bool) -> Choice | None:
        """Which processes end with the job; None: all."""
        if is_killed or not self.background.keeps:
            return None
        return partial(self.background.ending, self._id)

    def note(self, tree: Tree, choice: Choice | None) -> None:
        """These processes are about to be ended."""
        members = tree.members()
        self.ended = left_among(members if choice is None else choice(members))

    def let_go(self, tree: Tree, keep: Callable[[str, Tree], None]) -> list[LeftProcess]:
        """Have `keep` take what goes on of the tree, and tell of it; nothing: the tree is to be
        closed.
        """
        if not (members := tree.members()):
            return []
        kept = left_among(members)
        try:
            keep(self._id, tree)
        except OSError as exc:
            # Nobody would know of them after a restart.
            log_event("nothing_kept", level="error", job=self._id, error=str(exc))
            tree.signal(signal.SIGKILL)
            self.ended = [*self.ended, *kept]
            return []
        return kept


def left_among(processes: Collection[Process]) -> list[LeftProcess]:
    """By their numbers; one that is gone meanwhile is left out."""
    found: list[LeftProcess] = []
    for pid in sorted(process.pid for process in processes):
        if len(found) == MAX_LEFT:
            break
        if (name := _name(pid)) is not None:
            found.append({"pid": pid, "command": name})
    return found


def _name(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.readall().removesuffix(b"\n").decode(errors="backslashreplace")
    except OSError:
        return None

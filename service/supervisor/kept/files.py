"""What is known of the processes that jobs left running, a file for each job in `kept/`.

The file is there before the job is finished. It goes when none of these processes lives, or once
the receipt of their end, which is put into it, is stored in the job's record. So whoever starts
after a crash finds which processes to leave alone, and which ends to go on with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from service.host.event_log import log_event
from service.paths import StateDir
from service.supervisor.process.tree import TreeSnapshot
from service.supervisor.snapshot import from_json, to_json

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_MODE: Final = 0o700


@dataclass(slots=True, kw_only=True)
class Kept:
    """The processes of one job. `nonce`: of the supervisor whose descendants they are. `boot`: of
    the host's start, since pids and start times begin anew with it. `receipt`: they have ended.
    """

    nonce: str
    boot: str
    tree: TreeSnapshot = field(default_factory=TreeSnapshot)
    receipt: dict[str, Any] | None = None

    @property
    def known(self) -> set[tuple[int, int]]:
        """The processes as they were at the end of the job, by pid and start time."""
        return set(self.tree.known.items())


class KeptFiles:
    """Those of one state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = StateDir(state_dir).kept

    def write(self, job_id: str, kept: Kept) -> None:
        """In one step. Raises: OSError."""
        self._directory.mkdir(mode=_MODE, exist_ok=True)
        new = self._directory / f".{job_id}"
        try:
            new.write_text(json.dumps(to_json(kept)))
            new.rename(self._directory / job_id)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def read(self, job_id: str) -> Kept | None:
        """None: there is no such file, or nobody can read it."""
        path = self._directory / job_id
        try:
            return from_json(Kept, json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, TypeError, ValueError, KeyError) as exc:
            log_event("kept_not_read", level="error", job=job_id, error=repr(exc))
            return None

    def remove(self, job_id: str) -> None:
        """Nothing happens when it isn't there."""
        with suppress(OSError):
            (self._directory / job_id).unlink()

    def living(self) -> dict[str, Kept]:
        """By job, but for those whose end is only to be stored; what an earlier start of the host
        left is removed.
        """
        found = {}
        for job_id in self._names():
            if (kept := self.read(job_id)) is None or kept.receipt is not None:
                continue
            if kept.boot == boot_id():
                found[job_id] = kept
            else:
                self.remove(job_id)
        return found

    def _names(self) -> Iterator[str]:
        with suppress(FileNotFoundError):
            for name in os.listdir(self._directory):
                if name.startswith("."):
                    self.remove(name)  # of a supervisor that died while it wrote it
                else:
                    yield name


def known_of(kept: dict[str, Kept]) -> dict[str, set[tuple[int, int]]]:
    """Processes that are known, for those who look for all of these jobs."""
    return {job_id: each.known for job_id, each in kept.items()}


def boot_id() -> str:
    """Of this start of the host."""
    return Path(_BOOT_ID).read_text().strip()

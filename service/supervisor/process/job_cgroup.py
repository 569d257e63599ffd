"""What the two versions of cgroups have in common, where they limit a job."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final, Protocol

from service.supervisor.process.tree import Tree

# Limit → the kernel's controller that keeps it.
CONTROLLERS: Final = {"memory": "memory", "cpus": "cpu", "pids": "pids"}
# Microseconds in which a quota of processor time is counted; the kernel's own default.
PERIOD_US: Final = 100_000


class JobCgroup(Protocol):
    """Where the limits of one job are in force. `oom_seen`: OOM kills that were reported."""

    oom_seen: int

    @property
    def procs_files(self) -> list[str]:
        """`cgroup.procs` files; writing `0` moves the calling process in."""

    def placement(self, tree: Tree) -> AbstractContextManager[None]:
        """What the supervisor enters around the fork of a child that moves itself in."""

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process for lack of memory since the last call."""

    def memory_bytes(self) -> int | None:
        """The memory that the job has now; None where the kernel doesn't say."""

    def peak_bytes(self) -> int | None:
        """The most memory that the job had; None where the kernel doesn't say."""

    def remove(self) -> None:
        """The job is over."""


class Controllers(Protocol):
    """The controllers of one state directory's jobs. `missing`: limit → why it can't be kept."""

    missing: dict[str, str]

    def make(self, job_id: str, *, memory: int, cpus: float, pids: int) -> JobCgroup:
        """Put these limits in force for a job; 0: none. Raises: OSError."""

    def resume(self, job_id: str, oom_seen: int) -> JobCgroup | None:
        """The same job in the next image of this process; None if there are no controllers now."""

    def reap_orphans(self, kept: Collection[str] = ()) -> int:
        """Kill and remove what the jobs of a dead supervisor left, but for the `kept` ones; the
        number of these jobs.
        """

    def close(self) -> None:
        """Remove what is empty."""


def quota_us(cpus: float) -> int:
    """Microseconds of processor time in each period; the kernel takes no less than 1000."""
    return max(1000, round(cpus * PERIOD_US))


def check_available(missing: dict[str, str], **limits: float) -> None:
    """Raises: OSError, for a limit that is wanted and missing."""
    for limit, value in limits.items():
        if value and limit in missing:
            raise OSError(missing[limit])


def number_in(path: str, key: bytes = b"") -> int:
    """The number after this key in a file of the kernel's; 0 without one."""
    with suppress(OSError):
        for line in Path(path).read_bytes().splitlines():
            if line.startswith(key):
                return int(line[len(key) :])
    return 0

"""Brands: a number by which a process is known as one of a job, whatever it executes.

It stands in a resource limit that has no other effect: RLIMIT_RTTIME bounds the microseconds that a
process with a real-time policy computes without a pause, and a brand is tens of thousands of years.
A limit is inherited over fork(2), setsid(2) and execve(2), also with an empty environment, and
everybody may read it in /proc/pid/limits, also that of a set-user-ID program. A process may change
it; it is one piece of evidence among others (`attribution.py`).

Where the limit is already in use it is left alone, and no process is branded.
Source: getrlimit(2), proc(5).
"""

from __future__ import annotations

import functools
import hashlib
import resource
from typing import Final

# Of a process that the supervisor starts for itself. Every brand has this bit; below it, 16 of the
# state directory's mark, and the job's.
OF_NO_JOB: Final = 1 << 61
_JOB_BITS: Final = 45


@functools.lru_cache(maxsize=256)  # a job's is needed three times
def brand_of(mark: str, job_id: str) -> int:
    """The brand of a job of the state directory with this mark."""
    digest = hashlib.sha256(job_id.encode()).digest()
    job = int.from_bytes(digest[:6], "big") % (1 << _JOB_BITS)
    return _prefix(mark) | job


def is_brand(number: int, mark: str) -> bool:
    """Whether this is a brand of any job of the state directory with this mark."""
    return number != OF_NO_JOB and number >> _JOB_BITS == _prefix(mark) >> _JOB_BITS


class branded:  # noqa: N801 - read as a call: with branded(number)
    """What is spawned within the block has this brand."""

    __slots__ = ("_before", "_number")

    def __init__(self, number: int) -> None:
        self._number = number
        self._before: tuple[int, int] | None = None

    def __enter__(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_RTTIME)
        if before[0] == resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_RTTIME, (self._number, before[1]))
            self._before = before

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            resource.setrlimit(resource.RLIMIT_RTTIME, self._before)


def _prefix(mark: str) -> int:
    # Never 0, so that no job has the brand of none.
    return OF_NO_JOB | max(1, int(mark[:4], 16)) << _JOB_BITS

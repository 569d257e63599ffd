"""What a token allows at most of the jobs that are submitted with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from service.errors import FieldError, refuse_if_any
from service.jobs.spec import JobSpec

MAX_PRIORITY: Final = 100


class Ceilings(msgspec.Struct, frozen=True):
    """`pending` and `running` count all jobs of the principal, whichever token submitted them; 0 is
    no ceiling. What is counted is the principal's, what is allowed is the token's.
    """

    priority: int = MAX_PRIORITY
    pending: int = 0
    running: int = 0


NO_CEILINGS: Final = Ceilings()


def check_ceilings(spec: JobSpec, ceilings: Ceilings) -> None:
    """Raises: InvalidJob, for a job that asks for more than the token allows."""
    check_priority(spec.priority, ceilings)


def check_priority(priority: int, ceilings: Ceilings) -> None:
    """Raises: InvalidJob, for a priority above what the token allows."""
    refuse_if_any(_errors(priority, ceilings))


def _errors(priority: int, ceilings: Ceilings) -> Iterator[FieldError]:
    if priority > ceilings.priority:
        yield FieldError(
            "/Priority",
            f"expected at most {ceilings.priority}, the ceiling of this token, got {priority}",
        )

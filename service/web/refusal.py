"""A start that is refused: one sentence for the operator, and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from service.link.launch import SupervisorFailed
from service.operations.confinement import Unconfined
from service.operations.preflight import TooFewDescriptors
from service.settings import SettingError
from service.state_dir import StateDirError
from service.store import StoreError

# Exit status for wrong settings or a wrong state directory. Source: sysexits(3) has 78; 2 is what
# shells and argparse use for wrong usage.
EXIT_USAGE: Final = 2
# Exit status for every other error, and for a stop after which jobs may still run.
EXIT_ERROR: Final = 1
# What an operator can repair; the message of each is a sentence.
_REFUSALS: Final = (
    SettingError,
    StateDirError,
    StoreError,
    SupervisorFailed,
    TooFewDescriptors,
    Unconfined,
)


def refuse(sentence: str) -> NoReturn:
    """Raises: SystemExit."""
    print(f"jobrunner: {sentence}", file=sys.stderr)  # noqa: T201 - there may be no log yet
    raise SystemExit(EXIT_USAGE)


@contextmanager
def refusals() -> Iterator[None]:
    """Refuse the start for any of the errors that an operator can repair."""
    try:
        yield
    except _REFUSALS as exc:
        print(f"jobrunner: {exc}", file=sys.stderr)  # noqa: T201 - there may be no log yet
        raise SystemExit(EXIT_USAGE) from exc

"""Which modules a program loads: in a process of its own, in which nothing is measured."""

from __future__ import annotations

import os
import subprocess
import sys


def unmeasured() -> dict[str, str]:
    """The environment without that of coverage, which would load modules of its own there."""
    return {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}  # noqa: TID251 - passed on


def printed_by(program: str) -> str:
    """What it prints. Raises: AssertionError, when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=unmeasured(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

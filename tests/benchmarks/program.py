"""Comparators are programs: each runs in a process of its own, started here."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

_PROGRAMS = Path(__file__).parent / "programs"


def python(name: str, *arguments: object) -> list[str]:
    """The argv of one of our programs: an interpreter without site-packages, so it is small."""
    return [sys.executable, "-I", "-S", str(_PROGRAMS / f"{name}.py"), *map(str, arguments)]


def answer_of(argv: list[str]) -> float:
    """The number that a program prints."""
    return float(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)


def seconds_of_bash(line: str) -> float:
    """How long a shell line takes, from before its spawn until after its end."""
    started_s = time.monotonic()
    subprocess.run(["bash", "-c", line], check=True)
    return time.monotonic() - started_s

"""What the checks of `jobrunner doctor` find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from service.settings import Settings


class Severity(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Fault(NamedTuple):
    """Something is wrong, and what to do about it. `severity` None: the check's own."""

    text: str
    advice: str = ""
    severity: Severity | None = None


class Check(NamedTuple):
    """`run` yields a string for what is right, and a fault for what is wrong. `severity` is that of
    its faults, unless one says otherwise.
    """

    name: str
    run: Callable[[Any], Iterator[str | Fault]]  # of the settings; None if it needs none
    severity: Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found; `advice` is empty when there is nothing to do."""

    check: str
    severity: Severity
    text: str
    advice: str = ""


def run(check: Check, settings: Settings | None) -> Iterator[Finding]:
    """Run one check."""
    for found in check.run(settings):
        if isinstance(found, Fault):
            yield Finding(check.name, found.severity or check.severity, found.text, found.advice)
        else:
            yield Finding(check.name, Severity.OK, found)

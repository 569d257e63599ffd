"""What a check of `jobrunner doctor` has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has to say; `advice` is empty when there is nothing to do."""

    check: str
    verdict: Verdict
    text: str
    advice: str = ""

"""pytest, which writes each failure down at once: `python session.py FILE [pytest's arguments]`.

A session that breaks, or is ended, has told what failed until then.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest


class Failures:
    """A plugin of the process that hears of all tests: a line of JSON for each failure."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            told = {"test": report.nodeid, "when": report.when, "why": report.longreprtext}
            with self._path.open("a") as file:
                file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[2:], plugins=[Failures(Path(sys.argv[1]))]))

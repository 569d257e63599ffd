"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from baseline import compared, spread, stored
from case import Outcome

_HEAD = ("case", "ours", "comparator", "ratio", "goal", "spread", "min–max", "", "")


def render(outcomes: Iterable[Outcome]) -> str:
    """One line per row: medians over the rounds, and the spread of what the goal is about."""
    lines = [_HEAD, *(_line(outcome) for outcome in outcomes)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    texts.insert(1, "  ".join("─" * width for width in widths if width))
    return "\n".join(texts)


def as_json(outcomes: Sequence[Outcome], directory: Path) -> str:
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(directory),
        "rows": [_document(outcome) for outcome in outcomes],
    }
    return json.dumps(document, indent=2) + "\n"


def machine(directory: Path) -> dict[str, Any]:
    """Where the numbers come from; they mean nothing on another machine."""
    return {
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "file_system": _file_system(directory),
        "load": round(os.getloadavg()[0], 2),
    }


def _line(outcome: Outcome) -> tuple[str, ...]:
    row, judged = outcome.row, outcome.judged
    has_comparator = bool(row.comparator)
    met = outcome.is_met
    return (
        row.name,
        f"{_number(statistics.median(outcome.ours))} {row.unit}",
        f"{_number(statistics.median(outcome.comparator))} {row.unit}  {row.comparator}"
        if has_comparator
        else "",
        _judged(outcome) if has_comparator else "",
        str(row.goal) if row.goal else "",
        f"±{_number(spread(judged))}",
        f"{_number(min(judged))}–{_number(max(judged))}",
        "" if met is None else "met" if met else "MISSED",
        compared(outcome, stored()),
    )


def _document(outcome: Outcome) -> dict[str, Any]:
    row, judged = outcome.row, outcome.judged
    return {
        "name": row.name,
        "unit": row.unit,
        "comparator": row.comparator or None,
        "goal": str(row.goal) if row.goal else None,
        "met": outcome.is_met,
        "median": statistics.median(judged),
        "min": min(judged),
        "max": max(judged),
        "spread": spread(judged),
        "rounds": {"ours": outcome.ours, "comparator": outcome.comparator},
    }


def _judged(outcome: Outcome) -> str:
    value = statistics.median(outcome.judged)
    return f"{value:.2f}" if outcome.row.takes == "ratio" else f"{value:+.3g} {outcome.row.unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _file_system(directory: Path) -> str:
    """The type of the mount that holds `directory`. Source: proc(5), mountinfo."""
    where = directory.resolve()
    found = ("", "unknown")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        if where.is_relative_to(mount) and len(mount) >= len(found[0]):
            found = (mount, right.split()[0])
    return found[1]

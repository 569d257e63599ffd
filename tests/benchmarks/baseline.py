"""The ratios that the repository has, to see what has become dearer since.

Each has its spread, and the day on which it was measured. They are ratios, so they hold roughly on
other machines as well; a row counts as fallen when it is worse than the stored one by more than
both spreads.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from case import Outcome

FILE = Path(__file__).with_name("baseline.json")


def spread(values: Sequence[float]) -> float:
    """Half of the distance between the quartiles: one round that was disturbed doesn't widen it."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2


def stored() -> dict[str, dict[str, Any]]:
    """By row: `median`, `spread`, `rounds` and `date`; empty when nothing is stored."""
    if not FILE.exists():
        return {}
    rows: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["rows"]
    return rows


def compared(outcome: Outcome, rows: dict[str, dict[str, Any]]) -> str:
    """`FELL` with the stored number, when it is worse than that by more than the spreads."""
    known = rows.get(outcome.row.name)
    if known is None or not outcome.judged:
        return ""
    now = statistics.median(outcome.judged)
    room = known["spread"] + spread(outcome.judged)
    lost = known["median"] - now if outcome.row.more_is_better else now - known["median"]
    return f"FELL from {known['median']:.3g}" if lost > room else ""


def store(outcomes: Sequence[Outcome], machine: dict[str, Any]) -> None:
    """Keep these as the baseline; rows that weren't measured stay as they were."""
    today = datetime.now(UTC).date().isoformat()
    rows = stored() | {
        outcome.row.name: {
            "median": round(statistics.median(outcome.judged), 4),
            "spread": round(spread(outcome.judged), 4),
            "rounds": len(outcome.judged),
            "date": today,
        }
        for outcome in outcomes
        if outcome.judged
    }
    where = {key: machine[key] for key in ("processors", "python", "file_system")}
    document = {"machine": where, "rows": dict(sorted(rows.items()))}
    FILE.write_text(json.dumps(document, indent=2) + "\n")

"""What a case is: two ways to do the same work, measured one after the other, several times.

A case is a context manager: entered, it sets up what both ways need and gives them as a `Setup`,
or raises `Skipped`.
Each measurement gives one number per row of the table. The comparator runs in the same rounds, so
what else the machine does hits both alike, and their ratio is what counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

Values = tuple[float, ...]
"""One number per row of the case."""


class Skipped(Exception):
    """A case can't be measured on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of the ratio, or of our own number where there is no comparator."""

    bound: float
    is_lower_bound: bool

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.is_lower_bound else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.is_lower_bound else '≤'} {self.bound:g}"


def at_least(bound: float) -> Goal:
    return Goal(bound, is_lower_bound=True)


def at_most(bound: float) -> Goal:
    return Goal(bound, is_lower_bound=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `comparator`: what the other number is of; empty, there is none. `takes`:
    how the two numbers are judged, as their `ratio` or their `difference`.
    """

    name: str
    unit: str
    comparator: str = ""
    goal: Goal | None = None
    takes: str = "ratio"

    @property
    def more_is_better(self) -> bool:
        """As the goal says; without one, rates end in `/s` and everything else is a cost."""
        return self.unit.endswith("/s") if self.goal is None else self.goal.is_lower_bound


@dataclass(frozen=True, slots=True)
class Lab:
    """What the command line says. `directory` is on the file system that is measured."""

    directory: Path
    rounds: int
    size_bytes: int
    jobs: int
    idle_jobs: int
    lines: int


@dataclass(frozen=True, slots=True)
class Setup:
    """`warm_up`: each way runs once before the rounds, and its numbers are dropped."""

    ours: Callable[[], Values]
    comparator: Callable[[], Values] | None = None
    warm_up: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """`goal` bounds the ratio where there is a comparator, else our number."""

    name: str
    about: str
    rows: Sequence[Row]
    open: Callable[[Lab], AbstractContextManager[Setup]]


@dataclass(slots=True)
class Outcome:
    """The numbers of one row, by round."""

    row: Row
    ours: list[float] = field(default_factory=list)
    comparator: list[float] = field(default_factory=list)

    @property
    def judged(self) -> list[float]:
        """What the goal is about, by round."""
        if not self.row.comparator:
            return self.ours
        pairs = zip(self.ours, self.comparator, strict=True)
        if self.row.takes == "difference":
            return [ours - other for ours, other in pairs]
        return [ours / other for ours, other in pairs]

    @property
    def is_met(self) -> bool | None:
        if self.row.goal is None or not self.judged:
            return None
        return self.row.goal.is_met(statistics.median(self.judged))


def measure(case: Case, lab: Lab, tell: Callable[[str], None]) -> list[Outcome]:
    """Run all rounds of a case, in a directory of its own. Who goes first changes from round to
    round, as the first may leave the caches, or the disk, busy for the second.
    """
    outcomes = [Outcome(row) for row in case.rows]
    directory = lab.directory / case.name
    directory.mkdir()
    with case.open(replace(lab, directory=directory)) as setup:
        if setup.warm_up:
            tell(f"{case.name}: warming up")
            setup.ours()
            if setup.comparator is not None:
                setup.comparator()
        for number in range(lab.rounds):
            tell(f"{case.name}: round {number + 1} of {lab.rounds}")
            ours, comparator = _round(setup, ours_first=number % 2 == 0)
            for outcome, value in zip(outcomes, ours, strict=True):
                outcome.ours.append(value)
            for outcome, value in zip(outcomes, comparator, strict=False):
                outcome.comparator.append(value)
    return outcomes


def _round(setup: Setup, *, ours_first: bool) -> tuple[Values, Values]:
    if setup.comparator is None:
        return setup.ours(), ()
    if ours_first:
        ours = setup.ours()
        return ours, setup.comparator()
    comparator = setup.comparator()
    return setup.ours(), comparator

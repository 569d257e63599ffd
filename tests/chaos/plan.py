"""What is done to the service, and when: a list of steps that a seed makes, the same each time.

A step names what it hits by its place (`worker 1`), since process numbers differ from run to run.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

# How often each is drawn, relative to the others.
WEIGHTS: Final = {
    "kill_worker": 4.0,
    "kill_main": 1.0,
    "kill_supervisor": 1.0,
    "kill_everything": 1.0,
    "stop_worker": 2.0,
    "stop_supervisor": 1.5,
    "stop_main": 1.0,
    "upgrade": 5.0,
    "reload": 2.0,
    "restart": 2.0,
    "fill_disk": 1.5,
    "remove_socket": 0.7,
    "remove_log": 1.0,
}
# Seconds between two steps; several overlap, as some last.
_GAPS_S: Final = (0.1, 2.0)
# Seconds for which a process is stopped: shorter and longer than what a silent peer is given.
_STOPS_S: Final = (0.2, 1.0, 2.0, 8.0)
_FULL_S: Final = (0.5, 3.0)
_UPGRADES: Final = (1, 1, 3, 8)


@dataclass(frozen=True, slots=True)
class Step:
    """`lasts_s`: after so long it is undone. `choice`: which of several, or how often."""

    at_s: float
    name: str
    lasts_s: float = 0.0
    choice: int = 0
    word: str = ""

    def __str__(self) -> str:
        parts = [f"{self.at_s:6.2f} s  {self.name}"]
        if self.lasts_s:
            parts.append(f"for {self.lasts_s:g} s")
        return " ".join([*parts, f"({self.choice})", self.word]).rstrip()


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    disk: str  # the file system of the state directory
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, seed: int, seconds: float, *, only: frozenset[str] = frozenset()) -> Plan:
        """`only`: the steps to choose from; empty: all."""
        choice = random.Random(f"plan {seed}")
        weights = {name: w for name, w in WEIGHTS.items() if not only or name in only}
        steps = []
        at_s = 1.0  # some jobs run by then
        while at_s < seconds:
            (name,) = choice.choices(list(weights), list(weights.values()))
            steps.append(_step(choice, at_s, name))
            at_s += choice.uniform(*_GAPS_S)
        return cls(seed, choice.choice(("tmpfs", "ext4")), tuple(steps))


def _step(choice: random.Random, at_s: float, name: str) -> Step:
    which = choice.randrange(1 << 16)
    match name:
        case "stop_worker" | "stop_supervisor" | "stop_main":
            return Step(at_s, name, lasts_s=choice.choice(_STOPS_S), choice=which)
        case "fill_disk":
            return Step(at_s, name, lasts_s=choice.choice(_FULL_S))
        case "upgrade":
            return Step(at_s, name, choice=choice.choice(_UPGRADES))
        case "restart":
            return Step(at_s, name, word=choice.choice(("kill", "leave", "leave")))
        case _:
            return Step(at_s, name, choice=which)

"""The jobs that are submitted, each known beforehand: what it writes, how it ends, what it runs.

Each command tells in the tally, a file that no fault reaches, that it begins, and with which exit
code it is about to end. The lines go there by one write each, at the end of the file.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# In the environment of every process of every job of a run.
MARK: Final = "CHAOS_RUN"

_SCRIPT: Final = r"""
echo "$NAME $JOBRUNNER_COMMAND begin" >>"$TALLY"
[ "$DEAF" = 0 ] || trap '' TERM
[ "$LEAVES" = 0 ] || { setsid sleep 600 >/dev/null 2>&1 </dev/null & }
for ((part = 0; part < PARTS; part++)); do
    seq -f "$NAME.$JOBRUNNER_COMMAND.$part %.0f" "$LINES"
    echo "$NAME.$JOBRUNNER_COMMAND.$part" >&2
    [ "$PAUSE" = 0 ] || sleep "$PAUSE"
done
echo "$NAME $JOBRUNNER_COMMAND end $CODE" >>"$TALLY"
exit "$CODE"
"""


@dataclass(frozen=True, slots=True)
class Command:
    parts: int
    lines: int
    pause_s: float
    code: int
    goes_on: bool  # also when it fails
    is_deaf: bool  # to TERM
    leaves: bool  # a process behind


@dataclass(frozen=True, slots=True)
class Work:
    """One job. `name` is its own among all of the run."""

    name: str
    commands: tuple[Command, ...]

    @classmethod
    def of(cls, choice: random.Random, name: str) -> Work:
        number = choice.choice((1, 1, 2, 4))
        return cls(name, tuple(_command(choice) for _ in range(number)))

    def submission(self, run: str, tally: Path) -> dict[str, Any]:
        shared = {MARK: run, "TALLY": str(tally), "NAME": self.name}
        return {
            "Name": self.name,
            "Environment": shared,
            "Commands": [
                {
                    "CommandLine": _SCRIPT,
                    "ContinueOnFailure": command.goes_on,
                    "Environment": {
                        "PARTS": str(command.parts),
                        "LINES": str(command.lines),
                        "PAUSE": f"{command.pause_s:g}",
                        "CODE": str(command.code),
                        "DEAF": str(int(command.is_deaf)),
                        "LEAVES": str(int(command.leaves)),
                    },
                }
                for command in self.commands
            ],
        }

    @property
    def to_run(self) -> list[int]:
        """The commands that run when nothing intervenes."""
        for number, command in enumerate(self.commands):
            if command.code and not command.goes_on:
                return list(range(number + 1))
        return list(range(len(self.commands)))

    def written(self, stream: str, *, refused: Collection[int] = ()) -> bytes:
        """All that its commands write to that stream when nothing intervenes but that those in
        `refused` couldn't be started.
        """
        pieces = []
        for number in self.to_run:
            if number in refused:
                continue
            command = self.commands[number]
            for part in range(command.parts):
                head = f"{self.name}.{number}.{part}"
                if stream == "stderr":
                    pieces.append(f"{head}\n")
                else:
                    pieces += [f"{head} {line}\n" for line in range(1, command.lines + 1)]
        return "".join(pieces).encode()


def _command(choice: random.Random) -> Command:
    is_long = choice.random() < 0.2
    return Command(
        parts=choice.randrange(4, 10) if is_long else choice.randrange(3),
        lines=choice.choice((1, 10, 1000, 5000)),
        pause_s=choice.choice((0.2, 0.5, 1.0)) if is_long else choice.choice((0, 0, 0.05)),
        code=choice.choice((0, 0, 0, 3, 77)),
        goes_on=choice.random() < 0.5,
        is_deaf=choice.random() < 0.1,
        leaves=choice.random() < 0.2,
    )


@dataclass(slots=True)
class Told:
    """What one command of a job told in the tally."""

    begun: int = 0
    codes: tuple[int, ...] = ()


def read_tally(path: Path) -> dict[tuple[str, int], Told]:
    """By job's name and command."""
    told: dict[tuple[str, int], Told] = defaultdict(Told)
    for line in path.read_text().splitlines():
        name, number, word, *code = line.split()
        one = told[name, int(number)]
        if word == "begin":
            one.begun += 1
        else:
            one.codes += (int(code[0]),)
    return told

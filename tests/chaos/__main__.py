"""`python tests/chaos [--seed N] [--seconds S]`: harm of every kind under load, and then the truth.

Without a seed: each one in `seeds.txt`, which once failed, for a short while, and then a new one. A
run has processes and mounts of its own, which end with it: it is the first process of a namespace.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "tools")]

from chaos import run_one  # noqa: E402 - found through the line above
from plan import WEIGHTS, Plan  # noqa: E402 - the same

_SEEDS = _HERE / "seeds.txt"
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
# Lines of the service's log that are shown when a run fails.
_SHOWN = 60


def main() -> int:
    options = _options()
    if os.geteuid() == 0 and not options.inside:
        os.execvp(_ALONE[0], [*_ALONE, "--", sys.executable, *sys.argv, "--inside"])  # noqa: S606 - no shell is wanted
    if os.getpid() == 1:
        _be_the_first_process()
    if options.seed is not None:
        plans = [(options.seed, options.seconds)]
    else:
        new = random.SystemRandom().randrange(1 << 32)
        plans = [*((seed, options.short) for seed in _failed_once()), (new, options.seconds)]
    return max([_run(seed, seconds, options) for seed, seconds in plans])


def _run(seed: int, seconds: float, options: argparse.Namespace) -> int:
    plan = Plan.of(seed, seconds, only=frozenset(options.only))
    _say(f"seed {seed}: {len(plan.steps)} steps in {seconds:g} s on {plan.disk}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as name:
        result = run_one(plan, seconds, Path(name))
    _say(f"  {result.summary}; {time.monotonic() - begun:.0f} s in all")
    if not result.wrong:
        return 0
    for step in plan.steps:
        _say(f"  {step}")
    for line in result.lines[-_SHOWN:]:
        _say(f"  | {line}")
    for what in result.wrong:
        _say(f"  WRONG: {what}")
    _say(f"seed {seed} FAILED: tox -e chaos -- --seed {seed} --seconds {seconds:g}")
    return 1


def _failed_once() -> list[int]:
    lines = (line.partition("#")[0].strip() for line in _SEEDS.read_text().splitlines())
    return [int(line) for line in lines if line]


def _be_the_first_process() -> None:
    """Stay as the one that reaps orphans, as init does; the run goes on in a child."""
    child = os.fork()
    if not child:
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--seed", type=int, help="the one plan to carry out; default: see above")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long harm is done")
    parser.add_argument("--short", type=float, default=10.0, help="the same, for listed seeds")
    parser.add_argument("--only", nargs="*", default=[], choices=list(WEIGHTS), help="of the steps")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - for who runs it


if __name__ == "__main__":
    sys.exit(main())

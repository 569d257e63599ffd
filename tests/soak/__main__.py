"""The tests, again and again, on a machine that has too much to do: names what failed.

    python tests/soak [--rounds N] [--at-once N] [--busy N] [pytest's arguments]

A test that fails here once is a fault of the product or of the test. The tests themselves are the
load: `--at-once` of them run at the same time, so that each has a small share of the processors and
comes second in each race, and no time is spent on anything else. Beside them run `--busy` processes
that do nothing useful; the first of them writes to the disk all the time. The slow tests are left
out: `-m slow` runs them instead, `-m ""` all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_SESSION = Path(__file__).with_name("session.py")
# Computes for as long as its standard input is open, which is as long as this program lives.
_BUSY = """
import select, sys
while not select.select([sys.stdin], [], [], 0)[0]:
    sum(range(200_000))
"""
# The same, with a megabyte that has to reach the disk in each turn.
_WRITING = """
import os, select, sys, tempfile
with tempfile.TemporaryFile() as file:
    while not select.select([sys.stdin], [], [], 0)[0]:
        sum(range(200_000))
        file.seek(0)
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
"""
# Seconds after which a test hangs, however little it gets of the processors.
HANGS_S = 3600
# One of so many processes writes: it spends most of its time waiting, which counts as load as well.
_WRITER_OF = 6


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that want to run, besides ours."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITING if number % _WRITER_OF == 0 else _BUSY],
            stdin=subprocess.PIPE,
        )
        for number in range(processes)
    ]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


def failures(told: Path) -> dict[str, str]:
    """The tests that failed, and the last line of why: `session.py` has written them down."""
    if not told.exists():
        return {}
    reports = [json.loads(line) for line in told.read_text().splitlines()]
    return {r["test"]: f"{r['when']}: {r['why'].rstrip().rpartition(chr(10))[2]}" for r in reports}


def run(number: int, directory: Path, at_once: int, arguments: list[str]) -> tuple[int, Path]:
    """pytest's exit status, and the file of what failed; its output and a report are beside it."""
    told, output = directory / f"{number}.jsonl", directory / f"{number}.log"
    told.unlink(missing_ok=True)
    command = [sys.executable, str(_SESSION), str(told), "-q", "-n", str(at_once)]
    # A test's time-out is a bound on a test that hangs, and counts on the processors being free.
    command += [f"--timeout={HANGS_S}", "--dist", "worksteal", "-m", "not slow"]
    command += [f"--junitxml={output.with_suffix('.xml')}", *arguments]
    # Each process that runs tests imports all of them: compiled once, whatever this shell says.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # noqa: TID251 - what a person's shell would pass
    with output.open("wb") as file:
        status = subprocess.run(
            command, stdout=file, stderr=file, env=environment, check=False
        ).returncode
    return status, told


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--at-once", type=int, default=12, help="tests (default: 12)")
    parser.add_argument("--busy", type=int, default=1, help="other processes (default: 1)")
    parser.add_argument("--directory", type=Path, default=Path(".soak"), help="for the reports")
    options, arguments = parser.parse_known_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    failed: Counter[str] = Counter()
    broken = 0
    with busy(options.busy):
        for number in range(1, options.rounds + 1):
            begun = time.monotonic()
            status, told = run(number, options.directory, options.at_once, arguments)
            found = failures(told)
            failed.update(found.keys())
            broken += status != 0 and not found
            took_s, (average, *_) = time.monotonic() - begun, os.getloadavg()
            print(
                f"round {number}: {len(found)} failed, status {status}, {took_s:.0f} s,"
                f" load {average:.1f}; {told}",
                flush=True,
            )
            for name, why in found.items():
                print(f"    {name}: {why[:200]}", flush=True)
    for name, times in failed.most_common():
        print(f"{times} of {options.rounds}: {name}")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python tests/benchmarks [NAME ...]`: what the service costs, as ratios within one run.

Run by directory, not with `-m`: else the work tree's `service/` came before the installed one.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "tools")]

import baseline  # noqa: E402 - found through the line above
from case import Lab, Outcome, Skipped, measure  # noqa: E402 - the same
from cases import CASES  # noqa: E402 - the same
from scaling import SCALES, draw  # noqa: E402 - the same
from table import as_json, machine, render  # noqa: E402 - the same

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="jobrunner-bench-", dir=options.dir) as directory:
        lab = Lab(
            directory=Path(directory),
            rounds=options.rounds,
            size_bytes=options.size,
            jobs=options.jobs,
            idle_jobs=options.idle_jobs,
            lines=options.lines,
        )
        _tell(", ".join(f"{key} {value}" for key, value in machine(lab.directory).items()))
        outcomes: list[Outcome] = []
        for name in options.names or CASES:
            try:
                outcomes += measure(CASES[name], lab, _tell)
            except Skipped as exc:
                _tell(f"{name}: skipped: {exc}")
        print(render(outcomes))
        for scale in SCALES if options.plot is not None else ():
            _tell(f"drawn: {draw(scale, lab, options.plot, _tell)}")
        if options.json is not None:
            options.json.write_text(as_json(outcomes, lab.directory))
            _tell(f"all numbers: {options.json}")
        if options.keep:
            baseline.store(outcomes, machine(lab.directory))
    return 0


def _options() -> argparse.Namespace:
    cases = "\n".join(f"  {case.name:10} {case.about}" for case in CASES.values())
    parser = argparse.ArgumentParser(
        prog="tox -e bench --",
        description="Measures the service beside a bare comparator, in interleaved rounds.",
        epilog=f"cases:\n{cases}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases to run (all)")
    parser.add_argument("--rounds", type=_count, default=5, help="(%(default)s)")
    parser.add_argument("--size", type=_size, default="1G", help="bytes of a flood (%(default)s)")
    parser.add_argument("--jobs", type=_count, default=500, help="per round (%(default)s)")
    parser.add_argument("--idle-jobs", type=_count, default=500, help="(%(default)s)")
    parser.add_argument("--lines", type=_count, default=2000, help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument(
        "--plot", type=Path, metavar="DIR", help="also draw there how costs grow with size, as SVG"
    )
    parser.add_argument(
        "--keep", action="store_true", help="make these the baseline that later runs compare with"
    )
    parser.add_argument(
        "--dir", type=Path, help="where state and comparators' files go (the system's for /tmp)"
    )
    options = parser.parse_args()
    for name in options.names:
        if name not in CASES:
            parser.error(f"no case {name!r}; there are: {', '.join(CASES)}")
    return options


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError(text)
    return value


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS[match[2]]


def _tell(line: str) -> None:
    """Progress, beside the table on standard output."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

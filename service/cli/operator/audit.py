"""`jobrunner audit`: prints the audit log, as JSON lines, oldest first."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from service.host.escaping import escaped
from service.kinds.settings import read_settings
from service.paths import StateDir
from service.settings import SettingError


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "audit",
        help="show who did what, and what was refused",
        description="Print the audit log: JSON lines, oldest first.",
    )
    parser.add_argument("--principal", help="only lines of that principal")
    parser.add_argument("--job", help="only lines about that job")
    parser.add_argument(
        "--action",
        help="only lines with that action: submit, rerun, change, attach, output, follow, kill,"
        " clean, refuse, omit",
    )
    parser.add_argument("--last", type=int, metavar="N", help="only the last N lines")


def run(options: argparse.Namespace) -> int:
    """Run it. Returns the exit status."""
    try:
        settings = read_settings()
        with open(StateDir(settings.state_dir).audit_log, encoding="utf-8") as file:
            wanted = {"principal": options.principal, "job": options.job, "action": options.action}
            lines: Iterable[str] = _matching(file, {k: v for k, v in wanted.items() if v})
            for line in lines if options.last is None else deque(lines, max(0, options.last)):
                print(escaped(line))
    except SettingError as exc:
        print(f"jobrunner: {exc}", file=sys.stderr)
        return 2
    except FileNotFoundError:
        return 0  # nothing has been done yet
    except OSError as exc:
        print(f"jobrunner: the audit log can't be read: {exc.strerror}.", file=sys.stderr)
        return 1
    return 0


def _matching(lines: Iterable[str], wanted: dict[str, str]) -> Iterator[str]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off by a full disk
        if all(entry.get(key) == value for key, value in wanted.items()):
            yield line.rstrip("\n")

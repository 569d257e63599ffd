"""What an operator asks of a host: these work on the state directory, and need no service."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from service.cli.operator import audit, drain, token
from service.cli.operator.doctor import doctor
from service.cli.operator.supervisor import upgrade


def parser() -> argparse.ArgumentParser:
    """The parser of all of them."""
    made = argparse.ArgumentParser(prog="jobrunner")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    supervisor = commands.add_parser("supervisor", help="manage the supervisor")
    verbs = supervisor.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("upgrade", help="replace it by the installed release while its jobs run on")
    doctor_parser = commands.add_parser(
        "doctor",
        help="find out what is wrong on this host",
        description="Check the settings, the state directory, the records, the supervisor and the"
        " limits, and print what is wrong. Changes nothing without --fix. The exit status is 1 if"
        " there is a problem.",
    )
    doctor_parser.add_argument("--json", action="store_true", help="print JSON")
    doctor_parser.add_argument(
        "--fix", action="store_true", help="remove what finished jobs left behind (containers)"
    )
    drain.add_to(commands)
    token.add_to(commands)
    audit.add_to(commands)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run one of them. Returns the exit status."""
    made = parser()
    options, others = made.parse_known_args(arguments)
    if others:
        made.error(f"unrecognized arguments: {' '.join(others)}")
    match options.command:
        case "doctor":
            return doctor(as_json=options.json, fix=options.fix)
        case "drain" | "resume":
            return drain.run(options)
        case "token":
            return token.run(options)
        case "audit":
            return audit.run(options)
        case _:
            return upgrade()

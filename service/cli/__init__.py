"""The command line: `jobrunner`, the same as `python -m service`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import service
from service.cli import audit, drain, serve, token
from service.cli.doctor import doctor
from service.cli.supervisor import upgrade
from service.host import utf8_mode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    if arguments is None:
        utf8_mode.ensure()
    parser = argparse.ArgumentParser(
        prog="jobrunner", description=(service.__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--version", action="version", version=f"jobrunner {service.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="run the service", add_help=False)
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
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["serve"]:
        serve.run(given[1:])
    options, others = parser.parse_known_args(given)
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if options.command == "doctor":
        return doctor(as_json=options.json, fix=options.fix)
    if options.command in ("drain", "resume"):
        return drain.run(options)
    if options.command == "token":
        return token.run(options)
    if options.command == "audit":
        return audit.run(options)
    return upgrade()

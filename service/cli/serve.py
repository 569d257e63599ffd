"""`jobrunner serve`: its options, and what `--help` says of the settings.

The options are those of Sanic's that make sense here; they are checked, and then Sanic gets them.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from service.host.utf8_mode import OPTIONS as UTF8
from service.kinds.settings import declared_settings

_USAGE: Final = 2
# As many as have a slot of their own in the memory that they share.
MAX_WORKERS: Final = 1024
_SETTINGS_FROM: Final = 26  # the column in which the meaning of a setting begins
EPILOG: Final = """\
exit status: 0 after TERM, INT or Ctrl-C; 1 for a failure, or when jobs that were to be ended may
still run; 2 for a wrong option or setting.

`jobrunner doctor` says what is wrong on this host, `jobrunner drain` lets jobs finish before a
stop. The whole of it: deploy/SETTINGS.md, deploy/OPERATIONS.md.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in a sentence."""

    def error(self, message: str) -> NoReturn:
        print(f"jobrunner: {message}. `jobrunner serve --help` lists the options.", file=sys.stderr)
        raise SystemExit(_USAGE)


def run(arguments: Sequence[str]) -> NoReturn:
    """Check the options, then exec `sanic service.app` with them: one process less, and signals
    reach the main process.
    """
    made = parser()
    if {"-h", "--help"} & set(arguments):
        print(_help(made))
        raise SystemExit(0)
    options, unknown = made.parse_known_args(arguments)
    if unknown:
        made.error(_unknown(made, unknown[0]))
    if bool(options.cert) != bool(options.key):
        made.error("--cert and --key go together, and one of them is missing")
    sys.stdout.flush()
    sys.stderr.flush()
    program = [sys.executable, *UTF8, "-m", "sanic", "service.app"]
    os.execv(sys.executable, [*program, *arguments])  # noqa: S606


def parser() -> _Parser:
    """Of its options."""
    made = _Parser(
        prog="jobrunner serve",
        description="Run the service. Without options it listens on 127.0.0.1:8080, with one"
        " worker.",
        add_help=False,
        allow_abbrev=False,
        usage="jobrunner serve [options]",
    )
    add = made.add_argument
    add("-h", "--help", action="store_true", help="show this text")
    add("-H", "--host", metavar="ADDRESS", help="where to listen; wins over JOBRUNNER_HOSTNAME")
    add(
        "-p",
        "--port",
        type=_number(0, 65535, "a port number"),
        metavar="N",
        help="the port, 0 for a free one; wins over JOBRUNNER_PORT",
    )
    add("-u", "--unix", metavar="PATH", help="listen on a Unix socket instead")
    add("--cert", type=_file, metavar="FILE", help="the certificate, for TLS; with --key")
    add("--key", type=_file, metavar="FILE", help="its private key")
    add("--tls", action="append", metavar="DIR", help="a directory with fullchain.pem, privkey.pem")
    add("--tls-strict-host", action="store_true", help="only for hosts that a certificate names")
    count = made.add_mutually_exclusive_group()
    count.add_argument(
        "-w",
        "--workers",
        type=_number(1, MAX_WORKERS, "a number of workers"),
        metavar="N",
        help="worker processes (1); each serves every job",
    )
    count.add_argument("--fast", action="store_true", help="a worker for each processor")
    count.add_argument("--single-process", action="store_true", help="no workers, one process")
    add("-d", "--dev", action="store_true", help="for development: --debug, --reload")
    add("--debug", action="store_true", help="show more of what goes wrong inside")
    add("-r", "--reload", "--auto-reload", action="store_true", help="reload when code changes")
    add("-R", "--reload-dir", action="append", metavar="DIR", help="watch this directory, too")
    for accepted in ("--no-motd", "--motd", "--access-logs", "--no-access-logs"):
        add(accepted, action="store_true", help=argparse.SUPPRESS)  # they change nothing here
    add("-v", "--verbosity", action="count", help="log more of Sanic's own lines")
    add("--noisy-exceptions", action="store_true", help="log tracebacks of refused requests")
    return made


def _number(low: int, high: int, what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low} to {high}")
        return int(text)

    return read


def _file(text: str) -> Path:
    if not (path := Path(text)).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return path


def _unknown(parser: argparse.ArgumentParser, argument: str) -> str:
    given = argument.partition("=")[0]
    if not given.startswith("-"):
        return f"serve takes options only, got {argument!r}"
    known = [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001 - argparse has no public list
    near = difflib.get_close_matches(given, known, 1)
    return f"serve has no option {given}" + (f"; the nearest one is {near[0]}" if near else "")


def _help(parser: argparse.ArgumentParser) -> str:
    width = max(60, min(100, shutil.get_terminal_size().columns))
    parts = [
        parser.format_help(),
        "settings, which are environment variables (and their defaults):",
    ]
    for setting in declared_settings():
        default = f" ({setting.default})" if setting.default else ""
        name = f"  {setting.variable}{default}"
        meaning = textwrap.fill(
            re.sub(r"`([^`]*)`", r"\1", setting.meaning),
            width,
            initial_indent=" " * _SETTINGS_FROM,
            subsequent_indent=" " * _SETTINGS_FROM,
        )
        parts.append(f"{name}\n{meaning}")
    return "\n".join([*parts, "", EPILOG.rstrip()])

"""`jobrunner token …`: manages the tokens of a state directory.

A change takes effect at once, also in a running service.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from service import state_dir
from service.access import tokens
from service.access.scopes import Scope
from service.access.tokens import Token, TokenError
from service.host.escaping import escaped
from service.jobs.ceilings import MAX_PRIORITY
from service.jobs.times import rfc3339
from service.kinds.settings import read_settings
from service.operations import confinement
from service.settings import SettingError, Settings
from service.state_dir import StateDirError

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MAX_JOBS: Final = 10_000_000
# A hundred years: more is a mistake.
_MAX_LIFETIME_S: Final = 100 * 365 * 86_400


def add_to(commands: Any) -> None:
    """Add the command and its verbs."""
    parser = commands.add_parser(
        "token",
        help="manage who may call",
        description="Without tokens the service is open to every user of this host, and to nobody"
        " else. From the first token on every request needs one.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="create a token, and print it once, as the last word")
    create.add_argument("--name", required=True, help="its name in `list` and `revoke`")
    create.add_argument(
        "--scope",
        required=True,
        action="append",
        choices=[scope.value for scope in Scope],
        help="; ".join(f"{scope.value}: {scope.meaning}" for scope in Scope),
    )
    create.add_argument(
        "--principal",
        help="its owner: tokens of one principal see the same jobs (default: the token's name)",
    )
    create.add_argument(
        "--expires",
        type=_lifetime,
        help="how long it is valid: 90s, 12h, 30d, 8w (default: for ever)",
    )
    create.add_argument(
        "--max-priority",
        type=_whole(0, MAX_PRIORITY),
        metavar="N",
        help=f"the highest Priority of its jobs (default: 0, with the scope admin {MAX_PRIORITY})",
    )
    for what, verb in (("pending", "wait"), ("running", "run")):
        create.add_argument(
            f"--max-{what}",
            type=_whole(1, _MAX_JOBS),
            default=0,
            metavar="N",
            help=f"how many jobs of its principal may {verb} at a time, for a job of this token to"
            f" {verb} too (default: no limit)",
        )
    listing = verbs.add_parser("list", help="list them; not their text, which is stored nowhere")
    listing.add_argument("--json", action="store_true", help="print JSON")
    revoke = verbs.add_parser(
        "revoke", help="revoke one; without a valid one no caller is accepted"
    )
    revoke.add_argument("name")


def run(options: argparse.Namespace) -> int:
    """Run a verb. Returns the exit status."""
    try:
        settings = read_settings()
        state_dir.prepare(settings.state_dir)
        match options.verb:
            case "create":
                _create(settings, options)
            case "revoke":
                token = tokens.revoke(settings.state_dir, options.name)
                print(f"The token {token.name!r} of {escaped(str(settings.state_dir))} is revoked.")
            case _:
                _list(tokens.list_tokens(settings.state_dir), as_json=options.json)
    except (SettingError, StateDirError) as exc:
        return _fail(str(exc), 2)
    except TokenError as exc:
        return _fail(str(exc), 1)
    return 0


def _create(settings: Settings, options: argparse.Namespace) -> None:
    token, text = tokens.create(
        settings.state_dir,
        options.name,
        [Scope(name) for name in options.scope],
        principal=options.principal,
        lifetime_s=options.expires,
        max_priority=options.max_priority,
        max_pending=options.max_pending,
        max_running=options.max_running,
    )
    until = f" until {rfc3339(token.expires_at)}" if token.expires_at is not None else ""
    scopes = ", ".join(token.scopes)
    if confinement.is_root_for_strangers(settings):
        print(
            f"jobrunner: The next start will be refused. {confinement.ROOT_JOBS}", file=sys.stderr
        )
    # Which service it is for: one that was started with another state directory refuses it.
    where = escaped(str(settings.state_dir))
    print(
        f"The token {token.name!r} ({scopes}) of the state directory {where} is valid{until}."
        f" It is shown only once: {text}"
    )


def _list(listed: list[Token], *, as_json: bool) -> None:
    now = time.time_ns()
    rows = [
        {
            "Name": token.name,
            "Principal": token.principal,
            "Scopes": [scope.value for scope in token.scopes],
            "CreatedAt": rfc3339(token.created_at),
            "ExpiresAt": None if token.expires_at is None else rfc3339(token.expires_at),
            "Expired": token.is_expired(now),
            "MaxPriority": token.ceilings.priority,
            "MaxPending": token.max_pending or None,
            "MaxRunning": token.max_running or None,
        }
        for token in listed
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row, token in zip(rows, listed, strict=True):
        end = "never expires" if token.expires_at is None else f"expires {row['ExpiresAt']}"
        if row["Expired"]:
            end = f"EXPIRED {row['ExpiresAt']}"
        scopes = ",".join(token.scopes)
        line = f"{token.name:<20} {token.principal:<20} {scopes:<15} {_ceilings(token):<40} {end}"
        print(escaped(line))


def _ceilings(token: Token) -> str:
    of_jobs = (("pending", token.max_pending), ("running", token.max_running))
    named = [f"{what} {most}" for what, most in of_jobs if most]
    return ", ".join([f"priority {token.ceilings.priority}", *named])


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r}: expected a whole number from {low} to {high}"
            )
        return int(text)

    return read


def _lifetime(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12})([smhdw])", text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= _MAX_LIFETIME_S:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a number and one of s, m, h, d, w, as in 30d"
        )
    return seconds


def _fail(sentence: str, status: int) -> int:
    print(f"jobrunner: {escaped(sentence)}", file=sys.stderr)
    return status

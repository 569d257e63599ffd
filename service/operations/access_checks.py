"""Checks of who may call, and of the user that jobs run as."""

from __future__ import annotations

import time
from collections.abc import Iterator

from service.access import tokens
from service.access.tokens import TokenError
from service.host.trusted_path import distrust_way
from service.operations import confinement
from service.operations.findings import Fault, Severity
from service.settings import Settings


def accepted_tokens(settings: Settings) -> Iterator[str | Fault]:
    """Whether the service requires tokens, and whether any is accepted."""
    if not tokens.enabled(settings.state_dir):
        yield "There are no tokens: the service is open to this host's users, and to nobody else."
        return
    try:
        listed = tokens.list_tokens(settings.state_dir)
    except TokenError as exc:
        advice = "No caller is accepted until they can be read; run this as the service's user."
        yield Fault(str(exc), advice)
        return
    now = time.time_ns()
    valid = [token.name for token in listed if not token.is_expired(now)]
    if valid:
        yield f"{len(valid)} of {len(listed)} tokens are valid."
        return
    text = "The service requires tokens, and none is valid: no caller is accepted."
    yield Fault(text, "Run: jobrunner token create")


def unix_socket(settings: Settings) -> Iterator[str | Fault]:
    """Whether the Unix socket can be made, and whether nobody else can put another in its place."""
    if (path := settings.socket) is None:
        return
    if not path.parent.is_dir():
        text = f"There is no directory {str(path.parent)!r}, where JOBRUNNER_SOCKET is to be made."
        yield Fault(text, "The service does not start without it.", Severity.PROBLEM)
    elif (why := distrust_way(path.parent)) is not None:
        text = f"Other users can put a socket of theirs in the place of {str(path)!r}: {why}."
        yield Fault(text, "Clients would send it their tokens: choose another JOBRUNNER_SOCKET.")
    else:
        yield f"Only this user and root can replace the Unix socket {str(path)!r}."


def confined_jobs(settings: Settings) -> Iterator[str | Fault]:
    """Which user jobs run as, and whether they can be confined as the settings say."""
    wrong = list(confinement.faults(settings))
    for text in wrong:
        yield Fault(text, "The service does not start with this.")
    if wrong:
        return
    sandbox = ", each command in a PID namespace" if settings.pid_namespace != "off" else ""
    sandbox = sandbox if settings.sandbox == "off" else ", in a sandbox"
    if (user := settings.run_as) is not None:
        yield f"Jobs run as the user {user.name!r}{sandbox}."
    elif confinement.is_root(settings):
        advice = "Set the user that they run as: JOBRUNNER_RUN_AS."
        yield Fault(f"Jobs run as root{sandbox}.", advice, Severity.WARNING)
    else:
        yield f"Jobs run as the service's own user{sandbox}."

"""Who may call and whom jobs run as: the part of `jobrunner doctor` that looks at trust."""

from __future__ import annotations

import time
from collections.abc import Iterator

from service.access import tokens
from service.access.tokens import TokenError
from service.operations import confinement
from service.operations.findings import Finding, Verdict
from service.settings import Settings


def callers(settings: Settings) -> Iterator[Finding]:
    """Whether the service asks for tokens, and whether any is good."""
    if not tokens.enabled(settings.state_dir):
        text = (
            "There are no tokens: the service is open to everybody on this box, and to nobody else."
        )
        yield Finding("tokens", Verdict.OK, text)
        return
    try:
        listed = tokens.list_tokens(settings.state_dir)
    except TokenError as exc:
        advice = "Nobody may call until it can be read; run this as the service's user."
        yield Finding("tokens", Verdict.PROBLEM, str(exc), advice)
        return
    now = time.time_ns()
    good = [token.name for token in listed if not token.is_expired(now)]
    if good:
        yield Finding("tokens", Verdict.OK, f"{len(good)} of {len(listed)} tokens are good.")
        return
    text = "The service asks for tokens, and none is good: nobody may call."
    yield Finding("tokens", Verdict.PROBLEM, text, "Run: jobrunner token create")


def confined(settings: Settings) -> Iterator[Finding]:
    """Whom jobs run as, and whether what is to confine them works."""
    wrong = list(confinement.faults(settings))
    for text in wrong:
        yield Finding("jobs", Verdict.PROBLEM, text, "The service does not start with this.")
    if wrong:
        return
    sandbox = "" if settings.sandbox == "off" else ", in a sandbox"
    if (user := settings.run_as) is not None:
        yield Finding("jobs", Verdict.OK, f"Jobs run as the user {user.name!r}{sandbox}.")
    elif confinement.is_root(settings):
        text = f"Jobs run as root{sandbox}."
        yield Finding("jobs", Verdict.WARNING, text, "Say whom they run as: JOBRUNNER_RUN_AS.")
    else:
        yield Finding("jobs", Verdict.OK, f"Jobs run as the service's own user{sandbox}.")

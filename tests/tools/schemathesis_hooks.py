"""What schemathesis can't know from the description: which valid values go together.

What is declared about that is taken from its declaration: the `agreement` of a route, what each
format can, the rules beyond the schema of a submission.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

from service.api.agreement import NOTHING_AGREED
from service.api.routes import ROUTES
from service.errors import BadArchive
from service.kinds.beyond_schema import rules_of
from service.output.formats.format import Format
from service.output.formats.registry import FORMATS

# A cursor that stands before every job.
FIRST = "czA"
AGREEMENTS = {(route.method, route.path): route.agreement for route in ROUTES}
# What follows jobs that come never ends by itself.
ENDLESS = ("/attach", "/events")
UPGRADE_REQUIRED = 426
BAD_ARCHIVE = f"urn:jobrunner:problem:{BadArchive.code}"
OFF = (None, False, "false", "0", 0)


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: Any) -> None:
    """Of a request that is to be valid: `after` is opaque, only the service makes one; and a key
    that was used for another body is refused whatever it looks like.
    """
    if case.path in ENDLESS:
        _without_following(case)
    if case.path == "/" and isinstance(case.body, dict):
        case.body.pop("Hold", None)  # nobody releases it: `wait` and `attach` would wait for ever
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.method == "DELETE" and case.path == "/":
        for name in ("exit", "reason"):  # live jobs have none
            (case.query or {}).pop(name, None)
    if (case.method, case.path) in (("DELETE", "/"), ("POST", "/clean")):
        case.query = {**(case.query or {}), "state": "all"}  # at least one selector
    elif case.query and ("exit" in case.query or "reason" in case.query):
        case.query.pop("state", None)
    if case.query:
        _without_contradictions(case.query)
        _as_agreed(case)
    if case.query and "extract" in case.query and case.headers:
        for name in [name for name in case.headers if name.startswith("If-")]:
            case.headers.pop(name)
    if case.path.endswith("/rerun"):
        _of_rerun(case)
    if case.path in ENDLESS:
        _without_places(case)
    elif case.path.endswith(("/attach", "/output")):
        _of_output(case)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, _case: Any, response: Any) -> bool:
    """Whether it is one: a body that the schema takes is refused for a rule beyond it alone, and no
    schema says what an archive is, or that a request opens a WebSocket.
    """
    if not isinstance(failure, RejectedPositiveData):
        return True
    if response.status_code != 422:
        return bool(response.status_code != UPGRADE_REQUIRED)
    if response.json()["type"] == BAD_ARCHIVE:
        return False
    errors = response.json().get("errors", ())
    return not errors or not all(rules_of(e["pointer"], e["detail"]) for e in errors)


def _without_following(case: Any) -> None:
    """Also of a request that is to be refused, and may be refused by nobody; but for what is to be
    wrong with `follow` itself.
    """
    query = case.query or {}
    if isinstance(query, dict) and query.get("follow") in (None, True, "true", "1", 1):
        case.query = {**query, "follow": "false"}


def _without_contradictions(query: dict[str, Any]) -> None:
    """Between the parameters that select jobs, or times."""
    if "after" in query:
        query["after"] = FIRST
        query.pop("order", None)
    if "since" in query:
        query.pop("until", None)


def _as_agreed(case: Any) -> None:
    """Without what contradicts another parameter, or means nothing without it."""
    query = case.query
    method = "GET" if case.method == "HEAD" else case.method
    agreed = AGREEMENTS.get((method, case.path), NOTHING_AGREED)
    if method == "POST" and query.get("attach") in OFF:
        query.pop("attach", None)
    for first, second, _ in agreed.contradictions:
        if first in query:
            query.pop(second, None)
    for name, needed in agreed.needs:
        if needed not in query:
            query.pop(name, None)
    if agreed is not NOTHING_AGREED:
        _in_format(query)


def _without_places(case: Any) -> None:
    """Of streams of many jobs: only the service makes cursors, and no job joins as a pending one."""
    case.query = case.query or {}
    case.query.pop("after", None)
    case.query.pop("state", None)
    if case.headers:
        case.headers.pop("Last-Event-ID", None)


def _of_rerun(case: Any) -> None:
    """A patch that leaves a job without anything to run is refused."""
    if isinstance(case.body, dict):
        case.body = {
            name: value
            for name, value in case.body.items()
            if name not in ("CommandLine", "Commands") or value is not None
        }


def _of_output(case: Any) -> None:
    query = case.query or {}
    if "grep" in query:
        query["grep"] = re.escape("".join(c for c in query["grep"] if c.isalnum())[:100])
    if "command" in query:
        query["command"] = 0  # each job has one
    if "offset" in query and case.headers:
        case.headers.pop("Range", None)


def _in_format(query: dict[str, Any]) -> None:
    """In a format that can what is asked for."""
    needed: list[Callable[[Format], bool]] = []
    if query.get("timestamps") not in OFF:
        needed.append(lambda found: found.has_timestamps)
        query.pop("lines", None)
    if query.get("lines") not in OFF:
        needed.append(lambda found: found.has_records)
    if "grep" in query:
        needed.append(lambda found: found.has_lines)
    if needed:
        fit = [found.name for found in FORMATS if all(can(found) for can in needed)]
        if query.get("format") not in fit:
            query["format"] = fit[0]

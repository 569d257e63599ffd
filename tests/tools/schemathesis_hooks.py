"""What schemathesis can't know from the description: which valid values go together."""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis

# A cursor that stands before every job.
FIRST = "czA"


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: Any) -> None:
    """Of a request that is to be valid: `after` is opaque, only the service makes one; and a key
    that was used for another body is refused whatever it looks like.
    """
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
    if case.path in ("/attach", "/events"):
        _without_an_end(case)
    elif case.path.endswith(("/attach", "/output")):
        _in_format(case)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if isinstance(case.body, dict):
        _without_what_is_the_box_s(case.body)


def _without_contradictions(query: dict[str, Any]) -> None:
    """Between the parameters that select jobs."""
    if "after" in query:
        query["after"] = FIRST
        query.pop("order", None)
    if "since" in query:
        query.pop("until", None)


def _without_an_end(case: Any) -> None:
    """Of streams of many jobs: only the service makes cursors, and who follows waits for ever."""
    case.query = {**(case.query or {}), "follow": "false"}
    case.query.pop("after", None)
    case.query.pop("state", None)
    if case.headers:
        case.headers.pop("Last-Event-ID", None)


def _in_format(case: Any) -> None:
    """Of output: times are in text, lines are records."""
    query = case.query or {}
    timestamps, lines = query.get("timestamps"), query.get("lines")
    if timestamps not in (None, False, "false", "0"):
        query["format"] = "text"
        query.pop("lines", None)
    elif lines not in (None, False, "false", "0"):
        query["format"] = "ndjson"


def _without_what_is_the_box_s(job: dict[str, Any]) -> None:
    """What may be used of this box, and how a shell splits words, stands in no schema."""
    commands = job.get("Commands") or ()
    for command in commands:
        if command.get("Kind", "bash") == "bash" and command.get("Network") == "none":
            del command["Network"]  # there is no sandbox
    in_containers = [command for command in commands if command.get("Kind") == "docker"]
    for command in in_containers:
        command.pop("Volumes", None)
        command.pop("Network", None)
        if isinstance(command.get("CommandLine"), str):
            command["CommandLine"] = "true"
    if in_containers:
        for asked in (job, *in_containers):
            asked.pop("Environment", None)
            asked.pop("WorkingDir", None)
        job.pop("Limits", None)

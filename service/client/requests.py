"""Each request to the service, built; no I/O."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import msgspec

from service.client.steps import SILENCE_S, Query, Request

Command: TypeAlias = str | Sequence[str] | Mapping[str, Any]
"""A command line for bash, the words of one, or a job as the service takes it."""

# Seconds that one request waits for a job: less than proxies do.
POLL_S: Final = 20.0
# The same for a search of a log, which takes as long as reading it.
SEARCH_S: Final = 600.0
PAGE: Final = 100
_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"
_BYTES: Final = "application/octet-stream"


def job_of(command: Command) -> dict[str, Any]:
    """The job to submit.

    >>> job_of(["echo", "two words"])
    {'CommandLine': "echo 'two words'"}
    """
    if isinstance(command, str):
        return {"CommandLine": command}
    if isinstance(command, Mapping):
        return dict(command)
    return {"CommandLine": shlex.join(command)}


def submit_request(job: Mapping[str, Any], key: str | None) -> Request:
    """With a key of its own when none is given: so it can be sent again."""
    headers = (("Content-Type", _JSON), _key(key))
    body = msgspec.json.encode(job)
    return Request(method="POST", path="/", headers=headers, body=body, media=_JSON)


def rerun_request(job_id: str, patch: Mapping[str, Any] | None, key: str | None) -> Request:
    """A job once more, with changes."""
    headers = (("Content-Type", "application/merge-patch+json"), _key(key))
    body = msgspec.json.encode(patch or {})
    return Request(method="POST", path=f"/{id_in_path(job_id)}/rerun", headers=headers, body=body)


def show_request(job_id: str, *, processes: bool) -> Request:
    """A job, with the processes that it has if that is wanted."""
    query = (("processes", "true"),) if processes else ()
    return Request(path=f"/{id_in_path(job_id)}", query=query, media=_JSON)


def wait_request(job_id: str, timeout_s: float, silence_s: float) -> Request:
    """A job when it is finished, or after so many seconds."""
    query = (("timeout", f"{timeout_s:.3f}"),)
    path = f"/{id_in_path(job_id)}/wait"
    return Request(path=path, query=query, silence_s=silence_s, media=_JSON)


def kill_request(
    job_id: str, signal: str | None, grace_s: float | None, silence_s: float = SILENCE_S
) -> Request:
    """Kill a job; None is as the service or the job has it."""
    query = [("signal", signal)] if signal is not None else []
    if grace_s is not None:
        query.append(("grace", f"{grace_s:g}"))
    path = f"/{id_in_path(job_id)}"
    return Request(method="DELETE", path=path, query=tuple(query), silence_s=silence_s)


def signal_request(job_id: str, signal: str, *, foreground: bool = False) -> Request:
    """Send a job's processes a signal. To a program a second one means something else."""
    path = f"/{id_in_path(job_id)}/signal"
    query = [("signal", signal), *([("to", "foreground")] if foreground else [])]
    return Request(method="POST", path=path, query=tuple(query), is_repeatable=False)


def resize_request(job_id: str, rows: int, cols: int) -> Request:
    """Change the size of a job's terminal."""
    query = (("rows", f"{rows}"), ("cols", f"{cols}"))
    return Request(method="POST", path=f"/{id_in_path(job_id)}/resize", query=query)


def send_request(job_id: str, data: bytes, offset: int | None, *, eof: bool) -> Request:
    """Write into a job's input, or ask for its offset. Where the offset is said, a repeat is
    refused, and harms nothing.
    """
    query = _flags(eof=eof) if offset is None else [("offset", f"{offset}"), *_flags(eof=eof)]
    return Request(
        method="POST",
        path=f"/{id_in_path(job_id)}/stdin",
        query=tuple(query),
        headers=(("Content-Type", "application/octet-stream"),),
        body=data,
        is_repeatable=offset is not None or not (data or eof),
        media=_JSON,
    )


def clean_request(job_id: str) -> Request:
    """Forget a job. A repeat would tell of an unknown job."""
    return Request(method="POST", path=f"/{id_in_path(job_id)}/clean", is_repeatable=False)


def stored_request(job_id: str, place: Query) -> Request:
    """What there is of the output, as bytes."""
    query = (*place, ("follow", "false"))
    return _of_media(_BYTES, f"/{id_in_path(job_id)}/attach", query)


def follow_request(job_id: str, place: Query, *, lines: bool, follow: bool) -> Request:
    """The output as records."""
    query = (*place, *_flags(lines=lines), *_flags(follow=follow, default=True))
    return _of_media(_NDJSON, f"/{id_in_path(job_id)}/attach", query)


def search_request(job_id: str, place: Query, search: Query) -> Request:
    """Lines of the output. A search that finds nothing is silent, and may wait for others."""
    query = (*place, *search)
    return _of_media(_NDJSON, f"/{id_in_path(job_id)}/output", query, silence_s=SEARCH_S)


def lines_request(job_id: str, place: Query, silence_s: float) -> Request:
    """Lines around a place."""
    path = f"/{id_in_path(job_id)}/lines"
    return Request(path=path, query=tuple(place), silence_s=silence_s, media=_JSON)


def many_request(selectors: Query, after: str | None, *, lines: bool, follow: bool) -> Request:
    """The output of many jobs as records, from a cursor on."""
    place = () if after is None else (("after", after),)
    query = (*selectors, *place, *_flags(lines=lines), *_flags(follow=follow, default=True))
    return _of_media(_NDJSON, "/attach", query)


def page_request(selectors: Query, after: str | None, size: int) -> Request:
    """A page of jobs."""
    query = [*selectors, ("view", "full"), ("limit", f"{size}")]
    if after is not None:
        query.append(("after", after))
    return Request(path="/", query=tuple(query), media=_JSON)


def events_request(after: int, *, follow: bool) -> Request:
    """The changes of jobs behind the one of that number."""
    query = (("after", f"{after}"), ("follow", "true" if follow else "false"))
    return _of_media(_NDJSON, "/events", query)


def _of_media(media: str, path: str, query: Query, silence_s: float = SILENCE_S) -> Request:
    accept = ("Accept", media)
    return Request(
        path=path, query=tuple(query), headers=(accept,), media=media, silence_s=silence_s
    )


def id_in_path(job_id: str) -> str:
    """As it stands in a URL."""
    return quote(job_id, safe="")


def _key(key: str | None) -> tuple[str, str]:
    return ("Idempotency-Key", key or token_hex())


def _flags(*, default: bool = False, **given: bool) -> Query:
    return [(name, f"{value}".lower()) for name, value in given.items() if value != default]

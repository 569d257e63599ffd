"""One request and its whole response, or the head of a stream.

Errors are the service's own classes, rebuilt from problem documents.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import Final, TypeVar

import msgspec

from service.client.failures import UnexpectedAnswer
from service.client.retrying import Attempts, Policy
from service.client.steps import READ, Failure, Head, Nothing, Open, Request
from service.errors import JobrunnerError
from service.errors.tree import code_of_status

V = TypeVar("V")

# Bytes of an answer that isn't what was asked for, as they are quoted.
_QUOTED: Final = 80


class Answer(msgspec.Struct, frozen=True):
    """A whole response; its status is below 400."""

    status: int
    headers: dict[str, str]
    body: bytes


def call(policy: Policy, request: Request, *, is_patient: bool = False) -> Nothing[Answer]:
    """The response to `request`, which is sent again as `retrying` says.

    Raises: JobrunnerError; ServiceUnreachable.
    """
    attempts = Attempts(policy, is_patient=is_patient)
    while True:
        head: Head = yield from opened(policy, request, attempts)
        body = yield from _body()
        if not isinstance(body, Failure):
            return Answer(head.status, dict(head.headers), body)
        yield from attempts.pause(body, request)


def once(request: Request) -> Nothing[Answer | Failure | JobrunnerError]:
    """What comes of `request`, sent once."""
    got: Head | Failure = yield Open(request)
    if isinstance(got, Failure):
        return got
    body = yield from _body()
    if isinstance(body, Failure):
        return body
    if got.status < HTTPStatus.BAD_REQUEST:
        return Answer(got.status, dict(got.headers), body)
    return problem_of(got, body)


def opened(policy: Policy, request: Request, attempts: Attempts) -> Nothing[Head]:
    """The head of the response to `request`, whose body is to be read.

    Raises: JobrunnerError; ServiceUnreachable.
    """
    while True:
        got: Head | Failure = yield Open(request)
        lost: Failure | JobrunnerError
        if isinstance(got, Failure):
            lost = got
        elif got.status < HTTPStatus.BAD_REQUEST:
            policy.has_answered = True
            return got
        else:
            body = yield from _body()
            lost = body if isinstance(body, Failure) else problem_of(got, body)
        yield from attempts.pause(lost, request)


def decoded(answer: Answer, wanted: type[V]) -> V:
    """The JSON of an answer. Raises: UnexpectedAnswer."""
    try:
        return msgspec.json.decode(answer.body, type=wanted)
    except msgspec.DecodeError as exc:
        raise UnexpectedAnswer(
            f"Expected JSON of a {wanted.__name__}, got {answer.body[:_QUOTED]!r}: {exc}."
        ) from exc


def problem_of(head: Head, body: bytes) -> JobrunnerError:
    """The error that the response tells of; that of a proxy has no problem document."""
    retry_after_s = _retry_after(head.headers.get("Retry-After"))
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = None
    if not isinstance(document, dict) or "type" not in document:
        document = _of_http(head.status, body)
    return JobrunnerError.from_problem(document, retry_after_s=retry_after_s)


def _of_http(status: int, body: bytes) -> dict[str, object]:
    try:
        known = HTTPStatus(status)
    except ValueError:
        code, title = "unknown", "Unknown status"
    else:
        code, title = code_of_status(known), known.phrase
    said = body[:_QUOTED].decode(errors="replace")
    return {"type": code, "title": title, "status": status, "detail": f"{status} {title}: {said}"}


def _retry_after(text: str | None) -> int | None:
    """Seconds, or the time of day. Source: RFC 9110, section 10.2.3."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return max(0, round(parsedate_to_datetime(text).timestamp() - time()))
    except ValueError:
        return None


def _body() -> Nothing[bytes | Failure]:
    parts: list[bytes] = []
    while True:
        got: bytes | Failure = yield READ
        if isinstance(got, Failure):
            return got
        if not got:
            return b"".join(parts)
        parts.append(got)

"""One request and its whole response, or the head of a stream.

Errors are the service's own classes, rebuilt from problem documents.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import Final, TypeVar

import msgspec

from service.client.earlier import view_of
from service.client.failures import UnexpectedAnswer
from service.client.retrying import Attempts, Deadline, Foreign, Lost, Policy
from service.client.steps import READ, Failure, Head, Nothing, Open, Request
from service.errors import JobrunnerError
from service.errors.tree import TYPE_PREFIX, code_of_status

V = TypeVar("V")

# Bytes of an answer that isn't what was asked for, as they are quoted.
_QUOTED: Final = 80


class Answer(msgspec.Struct, frozen=True):
    """A whole response; its status is below 400."""

    status: int
    headers: dict[str, str]
    body: bytes


def call(
    policy: Policy,
    request: Request,
    *,
    is_patient: bool = False,
    deadline: Deadline | None = None,
) -> Nothing[Answer]:
    """The response to `request`, which is sent again as `retrying` says.

    Raises: JobrunnerError; ServiceUnreachable; UnexpectedAnswer; TimeoutError.
    """
    attempts = Attempts(policy, is_patient=is_patient, deadline=deadline)
    while True:
        answer = yield from attempt(request, attempts)
        if answer is not None:
            return answer


def attempt(request: Request, attempts: Attempts) -> Nothing[Answer | None]:
    """The response to `request`, which is sent once; None: it may be sent again now."""
    got = yield from once(request)
    if isinstance(got, Answer):
        attempts.answered()
        return got
    yield from attempts.pause(got, request)
    return None


def once(request: Request) -> Nothing[Answer | Lost]:
    """What comes of `request`, sent once."""
    head = yield from _head(request)
    if not isinstance(head, Head):
        return head
    body = yield from _body()
    return body if isinstance(body, Failure) else Answer(head.status, dict(head.headers), body)


def opened(request: Request, attempts: Attempts) -> Nothing[Head]:
    """The head of the response to `request`, whose body is to be read.

    Raises: JobrunnerError; ServiceUnreachable; UnexpectedAnswer.
    """
    while True:
        got = yield from _head(request)
        if isinstance(got, Head):
            attempts.answered()
            return got
        yield from attempts.pause(got, request)


def _head(request: Request) -> Nothing[Head | Lost]:
    got: Head | Failure = yield Open(request)
    if isinstance(got, Failure):
        return got
    if got.status >= HTTPStatus.BAD_REQUEST:
        body = yield from _body()
        return body if isinstance(body, Failure) else problem_of(got, body)
    media, wanted = got.headers.get("Content-Type", ""), request.media
    if got.status < HTTPStatus.MULTIPLE_CHOICES and (
        wanted is None or media.partition(";")[0].strip().lower() == wanted
    ):
        return got
    begin = yield READ  # it may have no end
    said = b"" if isinstance(begin, Failure) else begin[:_QUOTED]
    return Foreign(_unexpected(wanted or "an answer", got.status, media, said))


def _unexpected(expected: str, status: int, media: str, said: bytes) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"Expected {expected}, got {media or 'no media type'} with status {status}: {said!r}."
    )


def decoded(answer: Answer, wanted: type[V]) -> V:
    """The JSON of an answer. Raises: UnexpectedAnswer."""
    try:
        return view_of(answer.body, msgspec.json.Decoder(wanted))
    except msgspec.DecodeError as exc:
        raise UnexpectedAnswer(
            f"Expected JSON of a {wanted.__name__}, got {answer.body[:_QUOTED]!r}: {exc}."
        ) from exc


def problem_of(head: Head, body: bytes) -> JobrunnerError | Foreign:
    """The error that the response tells of; that of a proxy has no problem document."""
    retry_after_s = _retry_after(head.headers.get("Retry-After"))
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = None
    if isinstance(document, dict) and str(document.get("type")).startswith(TYPE_PREFIX):
        return JobrunnerError.from_problem(document, retry_after_s=retry_after_s)
    shown = _of_http(head.status, body)
    return Foreign(JobrunnerError.from_problem(shown, retry_after_s=retry_after_s))


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

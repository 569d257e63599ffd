"""The one error tree: an abstract base, a stable `code` per leaf.

`status` is the HTTP status that the API answers with: the one table from code to status is this
tree, read by the server and by the client alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Final

# Wrong places of one body that are told: enough to see the pattern, and checking stops there.
MAX_PLACES: Final = 20
# Characters of a foreign text that are quoted: enough to see a mix-up at a glance.
MAX_QUOTED_CHARS: Final = 80
# Characters of a pointer and of a detail, whatever they are made of: an answer's size is bounded.
_MAX_POINTER_CHARS: Final = 1200
_MAX_DETAIL_CHARS: Final = 600


@dataclass(frozen=True)
class Place:
    """One wrong place of a request body: a JSON pointer (RFC 6901) and what is wrong there."""

    pointer: str
    detail: str


def quoted(text: str) -> str:
    """`text` for a message, cut when it is long."""
    return repr(text) if len(text) <= MAX_QUOTED_CHARS else f"{text[:MAX_QUOTED_CHARS]!r}…"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


class JobrunnerError(Exception):
    """Base of all errors that a caller is told about."""

    code: ClassVar[str]
    title: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.challenge: str | None = None  # the header WWW-Authenticate


class Unauthenticated(JobrunnerError):
    """Nobody proved who calls. Source of the challenge: RFC 6750, section 3."""

    code, title, status = "unauthenticated", "Who are you?", 401

    def __init__(self, detail: str, *, is_wrong: bool = False) -> None:
        """`is_wrong`: something was given, and it proves nothing."""
        super().__init__(detail)
        why = ', error="invalid_token"' if is_wrong else ""
        self.challenge = f'Bearer realm="jobrunner"{why}'


class MissingScope(JobrunnerError):
    """The caller is known, and may not do this."""

    code, title, status = "missing_scope", "Not with this token", 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a token with the scope {scope!r}.")
        self.scope = scope
        self.challenge = f'Bearer realm="jobrunner", error="insufficient_scope", scope="{scope}"'


class HostNotAllowed(JobrunnerError):
    """A page may have had its own name point here (DNS rebinding)."""

    code, title, status = "host_not_allowed", "Not under this name", 403


class OriginNotAllowed(JobrunnerError):
    """A page of another site calls."""

    code, title, status = "origin_not_allowed", "Not from another site", 403


class TooManyRequests(JobrunnerError):
    code, title, status = "too_many_requests", "Too many requests", 429


class BadQuery(JobrunnerError):
    code, title, status = "bad_query", "Bad query parameter", 400


class BadHeader(JobrunnerError):
    code, title, status = "bad_header", "Bad request header", 400


class MalformedBody(JobrunnerError):
    code, title, status = "malformed_body", "The body is not JSON", 400


class UnknownJob(JobrunnerError):
    code, title, status = "unknown_job", "No such job", 404

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job with the ID {job_id[:80]!r}.")


class NotAcceptable(JobrunnerError):
    code, title, status = "not_acceptable", "Not available in that form", 406


class JobIsLive(JobrunnerError):
    code, title, status = "job_is_live", "The job is live", 409


class UnsupportedMediaType(JobrunnerError):
    code, title, status = "unsupported_media_type", "Unsupported media type", 415


class OffsetBeyondEnd(JobrunnerError):
    code, title, status = "offset_beyond_end", "Offset beyond the end of the output", 416

    def __init__(self, offset: int, end: int) -> None:
        super().__init__(f"The offset {offset} is beyond the present end of the output, {end}.")
        self.end = end


class OffsetInGap(JobrunnerError):
    """What was there is dropped; `gap` says which bytes, as (from, to)."""

    code, title, status = "offset_in_gap", "That part of the output was dropped", 416

    def __init__(self, offset: int, gap: tuple[int, int], end: int) -> None:
        super().__init__(
            f"The offset {offset} is in a gap: the bytes from {gap[0]} to {gap[1]} were dropped, as"
            f" the output went beyond its limit. It goes on at offset {gap[1]}."
        )
        self.gap = gap
        self.end = end


class InvalidJob(JobrunnerError):
    """The body is JSON, but not a valid job; `places` says where and why, of the first mistakes."""

    code, title, status = "invalid_job", "Not a valid job", 422

    def __init__(self, places: Iterable[Place]) -> None:
        """No more of `places` is asked for than is told."""
        found = [
            Place(_cut(p.pointer, _MAX_POINTER_CHARS), _cut(p.detail, _MAX_DETAIL_CHARS))
            for p in islice(places, MAX_PLACES + 1)
        ]
        self.places = found[:MAX_PLACES]
        detail = "; ".join(f"{p.pointer or '/'}: {p.detail}" for p in found[:3])
        if len(found) > MAX_PLACES:
            detail += f". There are more mistakes than the {MAX_PLACES} that are listed."
        super().__init__(detail)


class IdempotencyKeyReused(JobrunnerError):
    code, title, status = "idempotency_key_reused", "Idempotency-Key used for another job", 422


class Unavailable(JobrunnerError):
    """For now the service can't take this; the caller may retry."""

    code, title, status = "unavailable", "Not available now", 503

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class RecordsLocked(Unavailable):
    """Another process writes, or keeps others from writing; most are done in a moment."""


class NotReady(JobrunnerError):
    """A job wouldn't be taken now; `checks` are all that was looked at, and what is wrong."""

    code, title, status = "not_ready", "Not ready", 503

    def __init__(self, checks: dict[str, str | None]) -> None:
        super().__init__(" ".join(why for why in checks.values() if why), retry_after_s=1)
        self.checks = checks


class NoRoom(JobrunnerError):
    code, title, status = "no_room", "No room on the disk", 507


class IllegalTransition(JobrunnerError):
    """A trigger that the lifecycle table doesn't allow: an error of ours, never of a caller."""

    code, title, status = "illegal_transition", "Illegal transition", 500

    def __init__(self, *, trigger: str, state: str) -> None:
        super().__init__(f"A job that is {state} has no trigger {trigger!r}.")
        self.trigger = trigger
        self.state = state

"""Conditional requests for a file: `If-Match`, `If-None-Match` and the two dates. No I/O.

Source: RFC 9110, section 13; the order is that of section 13.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum, auto

import msgspec

from service.errors import PreconditionFailed


class Verdict(Enum):
    """What becomes of a request to read."""

    GO_ON = auto()
    NOT_MODIFIED = auto()


class Validators(msgspec.Struct, frozen=True):
    """What tells one version of a file from another."""

    etag: str
    modified_s: int

    @property
    def last_modified(self) -> str:
        """As the header has it."""
        return formatdate(self.modified_s, usegmt=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditions:
    """The headers as they came; None: not sent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None

    @property
    def only_new(self) -> bool:
        """Whether nothing is to be replaced."""
        return self.if_none_match is not None and self.if_none_match.strip() == "*"

    def check_change(self, present: Validators | None) -> None:
        """Whether what is there may be replaced or removed. Raises: PreconditionFailed."""
        self._check_match(present)
        if self.if_none_match is not None and _matches(self.if_none_match, present, weak=True):
            what = "there is a file" if self.only_new else "the file has one of these ETags"
            raise PreconditionFailed(f"If-None-Match doesn't hold: {what}.")

    def judge(self, present: Validators) -> Verdict:
        """Whether what is there is to be sent. Raises: PreconditionFailed."""
        self._check_match(present)
        if self.if_none_match is not None:
            is_known = _matches(self.if_none_match, present, weak=True)
            return Verdict.NOT_MODIFIED if is_known else Verdict.GO_ON
        since = _seconds(self.if_modified_since)
        if since is not None and present.modified_s <= since:
            return Verdict.NOT_MODIFIED
        return Verdict.GO_ON

    def _check_match(self, present: Validators | None) -> None:
        if self.if_match is not None:
            if not _matches(self.if_match, present, weak=False):
                what = "there is no file" if present is None else f"the file is {present.etag} now"
                raise PreconditionFailed(f"If-Match doesn't hold: {what}.")
            return
        since = _seconds(self.if_unmodified_since)
        if since is not None and (present is None or present.modified_s > since):
            what = "there is no file" if present is None else f"it was on {present.last_modified}"
            raise PreconditionFailed(f"If-Unmodified-Since doesn't hold: {what}.")


def _matches(given: str, present: Validators | None, *, weak: bool) -> bool:
    if present is None:
        return False
    listed = [each.strip() for each in given.split(",")]
    if weak:
        listed = [each.removeprefix("W/") for each in listed]
    return listed == ["*"] or present.etag in listed


def _seconds(text: str | None) -> float | None:
    """A date of HTTP; what is none is ignored. Source: RFC 9110, section 13.1.3."""
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None

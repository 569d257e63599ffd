"""What routes of a job's files take: a path, and the headers of conditional requests."""

from __future__ import annotations

from dataclasses import dataclass

from service.api import forms
from service.api.forms import Form
from service.api.parameters import OfJob, header, path
from service.api.preconditions import Preconditions
from service.errors import BadPath
from service.files.names import decoded, wrong_in_path


@dataclass(frozen=True, kw_only=True)  # a subclass has slots
class OfFile(OfJob):
    quoted_path: str = path(
        Form(str, "a path", {"type": "string"}),
        "The path below the job's directory, percent-encoded, with its slashes as they are.",
        name="PATH",
        is_rest=True,
    )


@dataclass(frozen=True, kw_only=True)
class Conditional:
    if_match: str | None = header(
        forms.text(),
        "`ETag`s of which the file must have one; `*`: it must be there.",
        name="If-Match",
        is_joined=True,
    )
    if_unmodified_since: str | None = header(
        forms.text(),
        "A date since which the file may not have changed.",
        name="If-Unmodified-Since",
    )
    if_none_match: str | None = header(
        forms.text(),
        "`ETag`s of which the file may not have one; `*`: it may not be there.",
        name="If-None-Match",
        is_joined=True,
    )

    @property
    def preconditions(self) -> Preconditions:
        """As one value."""
        return Preconditions(
            if_match=self.if_match,
            if_none_match=self.if_none_match,
            if_unmodified_since=self.if_unmodified_since,
            if_modified_since=getattr(self, "if_modified_since", None),
        )


def path_of(quoted_path: str, *, needed: bool) -> bytes:
    """The path that a URL has, without a slash at its end; empty for the job's directory itself,
    unless one is `needed`. Raises: BadPath.
    """
    found = decoded(quoted_path)
    found = found.removesuffix(b"/")
    if not found and not needed:
        return b""
    if (wrong := wrong_in_path(found)) is not None:
        raise BadPath(f"The path: {wrong}.")
    return found

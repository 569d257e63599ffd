"""The root of the error tree: how a leaf becomes a problem document, and is rebuilt from one.

`to_problem` gives the document (RFC 9457), and `JobrunnerError.from_problem` the same leaf with the
same members. Headers, which HTTP alone carries, are made where the documents are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final, NamedTuple

# Before the code in the `type` of a problem document.
TYPE_PREFIX: Final = "urn:jobrunner:problem:"
NOT_READABLE: Final = (AttributeError, KeyError, TypeError, ValueError)


def code_of_status(status: HTTPStatus) -> str:
    """The code of a problem that is HTTP's own, and has no leaf."""
    return status.phrase.lower().replace(" ", "_")


class Member(NamedTuple):
    """An attribute of an error that its problem document has, under the same name.

    For a value that `write` can't have written `read` raises one of `NOT_READABLE`.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


class JobrunnerError(Exception):
    """Base of the tree; abstract. A leaf is a class with a `code` of its own."""

    code: str
    title: str
    status: int
    # The extension members of the problem document.
    members: ClassVar[tuple[tuple[str, Member], ...]] = ()

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in cls.__dict__:
            assert cls.code not in LEAVES, cls.code  # noqa: S101 - a code names one leaf
            LEAVES[cls.code] = cls

    def to_problem(self) -> dict[str, Any]:
        """The problem document, ready for JSON."""
        return {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            # Bytes of a head that are no text come as lone surrogates, which JSON can't carry.
            "detail": self.detail.encode(errors="backslashreplace").decode(),
            **{name: m.write(getattr(self, name)) for name, m in self.members},
        }

    @staticmethod
    def from_problem(
        document: Mapping[str, Any], *, retry_after_s: int | None = None
    ) -> JobrunnerError:
        """The error that `to_problem` described; an `UnknownProblem` for any other document.

        `retry_after_s` comes from the header `Retry-After`.
        """
        detail = str(document.get("detail", ""))
        code = str(document.get("type", "")).removeprefix(TYPE_PREFIX)
        if (leaf := LEAVES.get(code)) is not None:
            error = leaf.__new__(leaf)
            JobrunnerError.__init__(error, detail, retry_after_s=retry_after_s)
            try:
                for name, member in leaf.members:
                    setattr(error, name, member.read(document[name]))
            except NOT_READABLE:
                pass  # of another release: it is told apart from what is whole
            else:
                return error
        status = document.get("status")
        return UnknownProblem(
            detail,
            code=code,
            title=str(document.get("title", "")),
            status=status if isinstance(status, int) else 500,
            retry_after_s=retry_after_s,
        )


# By code.
LEAVES: Final[dict[str, type[JobrunnerError]]] = {}


class UnknownProblem(JobrunnerError):
    """A problem of no leaf: what HTTP itself has a status for, or a code of another release."""

    def __init__(
        self, detail: str, *, code: str, title: str, status: int, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.code, self.title, self.status = code, title, status

"""Two context managers entered together, around each spawn: an `ExitStack` or a generator costs as
much as what is entered.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType


class Within:
    """The second is entered within the first."""

    __slots__ = ("_first", "_second")

    def __init__(
        self, first: AbstractContextManager[None], second: AbstractContextManager[None]
    ) -> None:
        self._first, self._second = first, second

    def __enter__(self) -> None:
        self._first.__enter__()
        try:
            self._second.__enter__()
        except BaseException:
            self._first.__exit__(None, None, None)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._second.__exit__(kind, error, traceback)
        finally:
            self._first.__exit__(kind, error, traceback)

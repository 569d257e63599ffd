"""A row of a table of messages: the check of the type, and the function that acts on a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from service.link.validation import checker

if TYPE_CHECKING:
    from service.supervisor.connection import Connection
    from service.supervisor.server import Server

M = TypeVar("M")

# Checks a message, and acts on it.
Row: TypeAlias = "tuple[Callable[[Mapping[str, Any]], None], Callable[..., None]]"
Table: TypeAlias = dict[str, Row]


def row(message_type: type[M], handler: Callable[[Server, Connection, M], None]) -> Row:
    """A row in which mypy sees that the function takes the messages that are checked."""
    return checker(message_type), handler

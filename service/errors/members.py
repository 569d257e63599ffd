"""How the members of problem documents are written and read."""

from __future__ import annotations

from typing import Any, Final

from service.errors.field import FieldError
from service.errors.tree import Member


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _range(value: Any) -> tuple[int, int]:
    start, end = value
    return _integer(start), _integer(end)


TEXT: Final = Member(_text)
INTEGER: Final = Member(_integer)
RANGE: Final = Member(_range)
FIELD_ERRORS: Final = Member(
    lambda value: [FieldError(_text(e["pointer"]), _text(e["detail"])) for e in value],
    lambda errors: [{"pointer": e.pointer, "detail": e.detail} for e in errors],
)
# In the document each check also says whether it is passed.
CHECKS: Final = Member(
    lambda value: {
        _text(name): None if check["Why"] is None else _text(check["Why"])
        for name, check in value.items()
    },
    lambda checks: {name: {"Ok": why is None, "Why": why} for name, why in checks.items()},
)

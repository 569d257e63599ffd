"""A setting is declared once: as a field of a frozen dataclass, a group.

The name of the field is that of the variable: `JOBRUNNER_MAX_BODY` is read into `max_body`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, Final, TypeVar, cast

import msgspec

from service.settings.environment_file import WrongFile

PREFIX: Final = "JOBRUNNER_"
_DECLARATION: Final = "setting"

_T = TypeVar("_T")


class SettingError(Exception):
    """A setting is wrong; the message names the variable, the value and what was expected."""

    def __init__(self, variable: str, value: str, expected: str) -> None:
        super().__init__(f"{variable} is {value!r}, expected {expected}.")
        self.variable = variable


class Setting(msgspec.Struct, frozen=True):
    """What is declared of a setting, and its name without the prefix."""

    name: str
    read: Callable[[str], Any]
    default: str
    expected: str
    meaning: str

    @property
    def variable(self) -> str:
        return PREFIX + self.name


def setting(read: Callable[[str], _T], default: str, expected: str, meaning: str) -> _T:
    """Declare a setting whose text `read` turns into the value; for any other text it raises.

    `expected` completes the sentence that says so, `meaning` is for the documents.
    """
    return cast("_T", field(metadata={_DECLARATION: (read, default, expected, meaning)}))


def declared(group: type) -> tuple[Setting, ...]:
    """The settings of a group and of the groups that it is made of, in the order of the class."""
    return tuple(
        Setting(declaration.name.upper(), *declaration.metadata[_DECLARATION])
        for declaration in fields(group)
        if _DECLARATION in declaration.metadata
    )


def read_group(group: type, environment: Mapping[str, str]) -> dict[str, Any]:
    """The values of a group's settings, by the names of its fields. Raises: SettingError."""
    values: dict[str, Any] = {}
    for each in declared(group):
        text = environment.get(each.variable, "") or each.default
        try:
            values[each.name.lower()] = each.read(text)
        except WrongFile as exc:
            raise SettingError(each.variable, text, f"{each.expected}: {exc}") from exc
        except (ValueError, OverflowError, RuntimeError) as exc:
            raise SettingError(each.variable, text, each.expected) from exc
    return values

"""Variables that look like settings and are none: most are misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from service.settings.declaration import PREFIX

OF_CLIENTS: Final = frozenset({"JOBRUNNER_URL", "JOBRUNNER_TOKEN", "JOBRUNNER_TOKEN_FILE"})
"""What clients take. A shell that calls a service and starts one has them."""

# From 0 to 1, by difflib, without the prefix: a swapped letter passes, or one more word.
_SIMILAR: Final = 0.6


class Unknown(msgspec.Struct, frozen=True):
    """A variable that is ignored; `nearest` is the setting that was probably meant, if any is."""

    variable: str
    nearest: str | None

    def __str__(self) -> str:
        nearest = f"; the nearest one is {self.nearest}" if self.nearest else ""
        return f"{self.variable} is no setting, and is ignored{nearest}."


def unknown_variables(
    variables: Iterable[str], settings: Collection[str], others: Collection[str]
) -> tuple[Unknown, ...]:
    """Those of `variables`, by name, that have the prefix, in whatever case, and are none of the
    `settings` and of the `others` that have a meaning.
    """
    prefixed = {v for v in variables if v.upper().startswith(PREFIX)}
    unknown = sorted(prefixed - set(settings) - set(others))
    return tuple(Unknown(variable, _nearest(variable, settings)) for variable in unknown)


def _nearest(variable: str, settings: Iterable[str]) -> str | None:
    name = variable.upper().removeprefix(PREFIX)
    names = [setting.removeprefix(PREFIX) for setting in settings]
    found = difflib.get_close_matches(name, names, n=1, cutoff=_SIMILAR)
    return PREFIX + found[0] if found else None

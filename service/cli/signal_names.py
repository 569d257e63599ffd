"""Signals on the command line: by name, with or without SIG, or by number."""

from __future__ import annotations

import re
import signal
from typing import Final

import click

_REAL_TIME: Final = re.compile(r"RTM(IN\+|AX-)[0-9]{1,2}")


class SignalName(click.ParamType[str]):
    """Its name without SIG, as the service takes it."""

    name = "signal"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = value.upper().removeprefix("SIG")
        numbers = {f"{each.value}": each.name.removeprefix("SIG") for each in signal.Signals}
        found = numbers.get(word, word)
        if found not in numbers.values() and not _REAL_TIME.fullmatch(found):
            self.fail(f"Expected a signal such as TERM, SIGINT or 9, got {value!r}.", param, ctx)
        return found


SIGNAL: Final = SignalName()

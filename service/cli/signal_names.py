"""Signals on the command line: by name, with or without SIG, or by number."""

from __future__ import annotations

import re
import signal
from importlib import import_module
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

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        del ctx, param
        prefix = "SIG" if incomplete.startswith("SIG") else ""
        words = (
            (prefix + each.name.removeprefix("SIG"), signal.strsignal(each) or "")
            for each in signal.Signals
        )
        made: list[click.shell_completion.CompletionItem[str]]
        made = import_module("service.cli.completing").beginning(words, incomplete)
        return made


SIGNAL: Final = SignalName()

"""Idempotency keys, as an option takes them."""

from __future__ import annotations

import re
from typing import Final

import click

# What a header takes, without blanks at its ends.
_TEXT: Final = re.compile("[!-~](?:[ -~]{0,253}[!-~])?")


class Key(click.ParamType[str]):
    """A key."""

    name = "key"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _TEXT.fullmatch(value):
            self.fail(f"Expected 1 to 255 characters of ASCII, got {value!r}.", param, ctx)
        return value


KEY: Final = Key()

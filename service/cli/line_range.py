"""Lines by their numbers, as options have them: `A:B`, `A:`, `:B`, `A`, `-N`."""

from __future__ import annotations

import re
from typing import Final

import click

_FORM: Final = re.compile(r"([0-9]{1,15})?(:)?([0-9]{1,15})?|-([1-9][0-9]{0,14}):?")


class _Range(click.ParamType[tuple[int, int | None]]):
    """The first line, negative from the end, and the last one; None: the last that there is."""

    name = "lines"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        found = _FORM.fullmatch(value)
        if found is not None and found[4]:
            return -int(found[4]), None
        if found is not None and (found[1] or found[3]):
            first = int(found[1] or 1)
            last = int(found[3]) if found[3] else None if found[2] else first
            if first and (last is None or last >= first):
                return first, last
        return self.fail(
            f"Expected A:B with 1 <= A <= B, A:, :B, A or -N, got {value!r}.", param, ctx
        )


RANGE: Final = _Range()

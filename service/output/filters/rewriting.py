"""Which filters a reader's wishes come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.output.filters.ansi import StripAnsi
from service.output.filters.carriage import CollapseCarriageReturns

if TYPE_CHECKING:
    from service.output.filters.filter import Filter

__all__ = ["filters"]


def filters(*, strips_ansi: bool, collapses_cr: bool) -> list[Filter]:
    """In their order: what erases in a line is left until it has done so."""
    found: list[Filter] = []
    if strips_ansi:
        found.append(StripAnsi(keeps_erasures=collapses_cr))
    if collapses_cr:
        found.append(CollapseCarriageReturns(drops_erasures=strips_ansi))
    return found

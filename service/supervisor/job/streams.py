"""Which streams of output of a job haven't ended, and whether the wait for them is over."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Streams:
    """`open`: command → its streams whose end hasn't come. `is_cut_off`: the last wait for the end
    of output is over. `is_missing`: output was lost, by that or before it came to us.
    """

    open: dict[int, int] = field(default_factory=dict)
    is_cut_off: bool = False
    is_missing: bool = False

    def add(self, number: int, count: int) -> None:
        self.open[number] = self.open.get(number, 0) + count

    def ended(self, number: int) -> None:
        self.open[number] -= 1

    def has_ended(self, number: int) -> bool:
        """Whether the output of this command has ended."""
        return not self.open[number]

    @property
    def have_ended(self) -> bool:
        """Whether nothing is waited for: all have ended, or the wait is over."""
        return self.is_cut_off or not any(self.open.values())

    def cut_off(self) -> None:
        """End the wait."""
        self.is_cut_off = self.is_missing = True

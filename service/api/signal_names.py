"""The names of signals, as a parameter has them: as views write them, and without `SIG`."""

from __future__ import annotations

import functools
import signal as signals

from service.api.forms import Form, Unfit
from service.jobs.record import signal_name


@functools.cache
def signal_form() -> Form[int]:
    """A signal: any that a process can get."""
    numbers: dict[str, int] = {}
    for number in sorted(signals.valid_signals()):
        name = signal_name(number)
        numbers[name] = numbers[name.removeprefix("SIG")] = number

    def parse(given: str) -> int:
        given = given.replace(" ", "+")  # which stands for a blank in a query
        if given not in numbers:
            raise Unfit(given)
        return numbers[given]

    return Form(
        parse,
        "a signal's name, as TERM, SIGINT or RTMIN+1",
        {"type": "string", "enum": list(numbers)},
        lambda number: signal_name(number).removeprefix("SIG"),
    )

"""The parameters of a kill, of one job and of many."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from typing import Final

from service.api import forms
from service.api.forms import Form, Unfit
from service.api.parameters import optional, query


def _signal(text: str) -> signals.Signals:
    name = text if text.startswith("SIG") else f"SIG{text}"
    try:
        return signals.Signals[name]
    except KeyError as exc:
        raise Unfit(text) from exc


_SIGNAL: Final = Form(
    _signal,
    "a signal's name, as TERM or SIGINT",
    {
        "type": "string",
        "enum": [name for s in signals.Signals for name in (s.name, s.name.removeprefix("SIG"))],
    },
    lambda signal: signal.name.removeprefix("SIG"),
)


@dataclass(frozen=True, kw_only=True)  # no slots: it is a base beside another one
class HowToKill:
    signal: signals.Signals = query(
        _SIGNAL, "The first signal that its processes get.", default=signals.SIGTERM
    )
    grace_s: float | None = optional(
        forms.seconds(),
        "Seconds until KILL; the job's own when not given. 0: at once.",
        name="grace",
    )
    wait: bool = query(forms.flag(), "Whether to answer when it has ended.", default=False)

"""The parameters of a kill, of one job and of many."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass

from service.api import forms
from service.api.parameters import optional, query
from service.api.signal_names import signal_form


@dataclass(frozen=True, kw_only=True)  # no slots: it is a base beside another one
class HowToKill:
    signal: int = query(
        signal_form(), "The first signal that its processes get.", default=signals.SIGTERM
    )
    grace_s: float | None = optional(
        forms.seconds(),
        "Seconds until KILL; the job's own when not given. 0: at once.",
        name="grace",
    )
    wait: bool = query(forms.flag(), "Whether to answer when it has ended.", default=False)

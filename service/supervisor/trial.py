"""Whether this release can take over from the supervisor that asks; run in a child of that one."""

from __future__ import annotations

import json
import os
from typing import Any

from service.supervisor.job.exit_hooks import Plan
from service.supervisor.job.limits import Limits
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.usage import Usage
from service.supervisor.register import Register
from service.supervisor.snapshot import VERSION, from_json


class _Decoded:
    """What of a job's state can be decoded without any effect."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.id: str = state["id"]
        self.machine = from_json(JobMachine, state["machine"])
        self.plans = [Plan.from_state(plan) for _, plan in state["aftermath"]["plans"]]
        self.limits = Limits(**state["limiting"]["limits"])
        self.usage = Usage(*state["usage"])


def _decode(state: dict[str, Any]) -> Any:
    return _Decoded(state)


def can_follow(version: int, source: int) -> bool:
    """`version`: of the state's layout. `source`: a file with the state as it now is; an older
    release hands over an empty one. Raises: whatever decoding it raises.
    """
    if version > VERSION:
        return False
    with open(os.dup(source), "rb") as file:
        text = file.read()
    if text:
        register: Register[Any] = Register()
        register.restore(json.loads(text)["register"], _decode)
    return True

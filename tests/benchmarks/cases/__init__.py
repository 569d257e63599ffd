"""The cases, by name, in the order in which they run. A new one is a module and a line here."""

from __future__ import annotations

from case import Case

from cases import idle, latency, output, submit

CASES: dict[str, Case] = {
    case.name: case for module in (submit, output, idle, latency) for case in module.CASES
}

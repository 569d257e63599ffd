"""The cases, by name, in the order in which they run. A new one is a module and a line here."""

from __future__ import annotations

from case import Case

from cases import busy, container, idle, latency, output, stored, submit

CASES: dict[str, Case] = {
    case.name: case
    for module in (submit, output, idle, latency, busy, stored, container)
    for case in module.CASES
}

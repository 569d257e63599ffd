"""The cases, by name, in the order in which they run. A new one is a module and a line here."""

from __future__ import annotations

from case import Case

from cases import (
    busy,
    calm,
    container,
    crowd,
    idle,
    kill,
    latency,
    output,
    peers,
    start,
    stored,
    submit,
)

CASES: dict[str, Case] = {
    case.name: case
    for module in (
        *(submit, output, latency, crowd, idle, busy, calm, kill, start, stored, container, peers),
    )
    for case in module.CASES
}

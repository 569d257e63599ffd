"""The cases, by name, in the order in which they run. A new one is a module and a line here."""

from __future__ import annotations

from case import Case

from cases import (
    busy,
    calm,
    client,
    cluster,
    command_line,
    container,
    crowd,
    download,
    formats,
    idle,
    keystroke,
    kill,
    latency,
    live,
    long,
    one_call,
    output,
    parts,
    peers,
    script,
    start,
    stored,
    submit,
)

_ORDER = (
    *(
        submit,
        script,
        one_call,
        output,
        download,
        formats,
        parts,
        client,
        command_line,
        latency,
        keystroke,
        crowd,
        idle,
        live,
        long,
        busy,
        calm,
        kill,
        start,
        stored,
        container,
        cluster,
        peers,
    ),
)
CASES: dict[str, Case] = {case.name: case for module in _ORDER for case in module.CASES}

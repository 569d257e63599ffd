"""The states of a process by the kernel's letters, and by the words that a view has for them."""

from __future__ import annotations

from typing import Final

# Source: proc(5), /proc/pid/stat. A process that is dead isn't listed.
STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
}
OTHER: Final = "other"
PROCESS_STATES: Final = (*STATES.values(), OTHER)

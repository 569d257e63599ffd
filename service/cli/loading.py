"""Modules that are loaded late. Ctrl-C ends the process meanwhile, without a traceback: nothing has
begun that somebody would have to end.
"""

from __future__ import annotations

import signal
from importlib import import_module
from types import ModuleType


def loaded(name: str) -> ModuleType:
    """The module of that name."""
    before = signal.getsignal(signal.SIGINT)
    end_at_interrupts()
    try:
        return import_module(name)
    finally:
        signal.signal(signal.SIGINT, before)


def end_at_interrupts() -> None:
    """From now on Ctrl-C ends the process, unless it is ignored or somebody handles it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

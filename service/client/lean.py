"""httpx without what it loads only because it is installed: for programs that end soon.

httpx loads a command line of its own where click and rich are installed, and httpcore HTTP/2 and
libraries of event loops: twice the time of all the rest. Both take an ImportError for "not
installed". A program calls this, a library doesn't: it holds for all of the process.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

# Each is optional, and `Client` uses none: a command line, HTTP/2, event loops.
_LEFT_OUT: Final = ("httpx._main", "h2", "anyio", "trio")


def load_httpx() -> None:
    """Load httpx for `Client` alone.

    In this process httpx then knows neither HTTP/2 nor asynchronous clients, `AsyncClient` among
    them. Nothing happens when httpx was loaded before.
    """
    if "httpx" in sys.modules:
        return
    hidden = [name for name in _LEFT_OUT if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: it can't be imported
    try:
        import_module("httpx")
        import_module("httpcore")
    finally:
        for name in hidden:
            del sys.modules[name]

"""A client of a jobrunner service. `service/client/README.md` is its documentation.

The wheel has this package at its top level, as `jobrunner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import service.client
from service.client import __all__ as __all__

if TYPE_CHECKING:
    from service.client import *  # noqa: F403 - all public names, which `__all__` lists


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(service.client, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

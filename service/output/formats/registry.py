"""All formats, found in the modules of this package."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from service.output import formats
from service.output.formats import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.output.formats.format import Format

__all__ = ["FORMATS"]


def _others() -> Iterator[Format]:
    for name in sorted(found.name for found in iter_modules(formats.__path__, "")):
        module = import_module(f"{formats.__name__}.{name}")
        if module is not plain_text and name != "registry":
            yield from getattr(module, "FORMATS", ())


FORMATS: Final[tuple[Format, ...]] = (*plain_text.FORMATS, *_others())
"""The first one is for callers that take any."""

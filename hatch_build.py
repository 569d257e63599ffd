"""Compresses the static files when the wheel is built: a service sends them as they are."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = Path("service/ui/static")
# What a smaller file saves isn't worth a header.
MIN_BYTES = 512


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds `NAME.gz` and `NAME.br` beside each static file of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":  # an editable one serves the files of the work tree
            return
        import brotli  # noqa: PLC0415 - only a wheel needs it

        root = Path(self.root)
        self._place = tempfile.TemporaryDirectory()
        for number, path in enumerate(sorted((root / STATIC).rglob("*"))):
            if not path.is_file():
                continue
            data = path.read_bytes()
            always = path.name == "main.js"  # by which a service knows that the others are there
            if len(data) < MIN_BYTES and not always:
                continue
            compressed = {
                ".gz": gzip.compress(data, 9, mtime=0),  # the same wheel from the same files
                ".br": brotli.compress(data),
            }
            for suffix, body in compressed.items():
                made = Path(self._place.name, f"{number}{suffix}")
                made.write_bytes(body)
                target = path.relative_to(root).as_posix() + suffix
                build_data["force_include"][str(made)] = target

    def finalize(self, version: str, *_: object) -> None:
        if version == "standard":
            self._place.cleanup()

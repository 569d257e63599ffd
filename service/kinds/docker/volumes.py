"""Volumes `SRC:DST[:ro]`: only what lies below the directories that the operator allows."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from service.errors import quoted
from service.jobs.fields import MAX_PATH_BYTES

_PATH: Final = r"/[^:\u0000-\u001f\u007f]*"
# What of `volume` a pattern can say, as ECMA has it.
VOLUME: Final = rf"^(?!([^:]*:)?[^:]*/\.\.(/|:|$)){_PATH}:{_PATH}(:(ro|rw)?)?$"


class NotAllowed(Exception):
    """The message says what was expected, and what came."""


class Volume(msgspec.Struct, frozen=True):
    source: str
    target: str
    is_read_only: bool


def volume(text: str) -> Volume:
    """`text` read as `SRC:DST[:ro]`. Raises: NotAllowed."""
    source, colon, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not colon or mode not in ("", "ro", "rw"):
        raise NotAllowed(f"expected SRC:DST or SRC:DST:ro, got {quoted(text)}")
    if not text.isprintable():
        # As in a source: docker's client reads a mount as CSV, and may change line breaks.
        raise NotAllowed(f"expected paths without control characters, got {quoted(text)}")
    if len(text) > 2 * MAX_PATH_BYTES:
        raise NotAllowed(f"expected paths of less than {MAX_PATH_BYTES} bytes, got {len(text)}")
    for path in (source, target):
        if not path.startswith("/") or ".." in path.split("/"):
            raise NotAllowed(f"expected absolute paths without '..', got {quoted(text)}")
    if os.path.normpath(target) == "/":
        raise NotAllowed(f"expected a directory of the container below '/', got {quoted(text)}")
    return Volume(source, target, is_read_only=mode == "ro")


def allowed(path: str, below: Sequence[Path]) -> str:
    """`path` without symbolic links, which lies below one of these directories.

    Raises: NotAllowed.
    """
    try:
        real = os.path.realpath(path)
    except OSError as exc:  # a link that was exchanged between a look at it and its reading
        expected = "expected a path that stays the same while it is looked at"
        raise NotAllowed(f"{expected}, got {quoted(path)}") from exc
    for directory in below:
        root = os.path.realpath(directory)
        if real == root or real.startswith(root.rstrip("/") + "/"):
            return real
    if not below:
        raise NotAllowed(
            f"expected no path of this host (JOBRUNNER_DOCKER_VOLUMES), got {quoted(path)}"
        )
    places = ", ".join(map(str, below))
    raise NotAllowed(f"expected a path below one of {places}, got {quoted(path)}")


def mount(source: str, target: str, *, read_only: bool = False) -> str:
    """The value of `--mount`, in which a comma or a quote is part of a path."""
    fields = ["type=bind", f"source={source}", f"target={target}"]
    if read_only:
        fields.append("readonly")
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()

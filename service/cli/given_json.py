"""JSON that is given on the command line or in a file."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import click


def object_in(text: str, where: str) -> dict[str, Any]:
    """Raises: UsageError, when it is none; `where` says where it was given."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise click.UsageError(f"Expected an object in JSON in {where}: {exc}.") from exc
    if not isinstance(found, dict):
        raise click.UsageError(f"Expected an object in {where}, got {json.dumps(found)[:40]}.")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")

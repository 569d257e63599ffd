"""`K=V` on the command line: labels, and variables of the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import click


def add(job: dict[str, Any], key: str, found: Mapping[str, str]) -> None:
    """Add to an object of the job. Raises: UsageError, where the job has none there."""
    if not found:
        return
    own = job.get(key) or {}
    if not isinstance(own, dict):
        raise click.UsageError(f"Expected an object as {key}, got {json.dumps(own)[:40]}.")
    job[key] = {**own, **found}


def labels_of(given: tuple[str, ...]) -> dict[str, str]:
    """Raises: BadParameter."""
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"Expected K=V, got {each!r}.", param_hint="--label")
    return dict(each.split("=", 1) for each in given)


def environment_of(
    given: tuple[str, ...],
    own: Mapping[str, str] = os.environ,  # noqa: TID251 - what `-e NAME` passes on
) -> dict[str, str]:
    """Without a value: the one that it has here. Raises: BadParameter."""
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals and name not in own:
            raise click.BadParameter(f"{name} isn't set here.", param_hint="--env")
        found[name] = value if equals else own[name]
    return found

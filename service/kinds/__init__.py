"""What each Kind of command means: a spec to validate, and the argv that runs it.

A new Kind is one module (or package) here and one line in the table.
"""

from __future__ import annotations

from service.jobs.spec import CommandSpec
from service.kinds.bash import BASH
from service.kinds.docker import DOCKER
from service.kinds.kind import CannotRun, Context, Kind, Leftover, Plan, Site

KINDS: dict[str, Kind] = {kind.name: kind for kind in (BASH, DOCKER)}

_BY_SPEC: dict[type[CommandSpec], Kind] = {kind.spec: kind for kind in KINDS.values()}


def kind_of(spec: CommandSpec) -> Kind:
    """The Kind that `spec` was decoded for."""
    return _BY_SPEC[type(spec)]


def plan(spec: CommandSpec, context: Context) -> Plan:
    """How `spec` is run. Raises: CannotRun."""
    return kind_of(spec).plan(spec, context)


__all__ = ["KINDS", "CannotRun", "Context", "Kind", "Leftover", "Plan", "Site", "kind_of", "plan"]

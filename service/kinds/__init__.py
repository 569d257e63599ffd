"""What each Kind of command means: a spec to validate, and the argv that runs it.

A new Kind is one module (or package) here and one line in the table.
"""

from __future__ import annotations

from service.jobs.spec import CommandSpec
from service.kinds.bash import Bash
from service.kinds.docker import Docker
from service.kinds.kind import Kind, Orphan, Site, UnderWay
from service.kinds.plan import CannotRun, Context, Plan
from service.kinds.slurm import Slurm

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Bash(), Docker(), Slurm())}

_BY_SPEC: dict[type[CommandSpec], Kind] = {kind.spec: kind for kind in KINDS.values()}


def kind_of(spec: CommandSpec) -> Kind:
    """The Kind that `spec` was decoded for."""
    return _BY_SPEC[type(spec)]


__all__ = ["KINDS", "CannotRun", "Context", "Kind", "Orphan", "Plan", "Site", "UnderWay", "kind_of"]

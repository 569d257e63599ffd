"""Kind `slurm`: a command on a Slurm cluster, by Slurm's own client.

srun is the command's process; what it can't be relied on for is in `control.sh` and `ending`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.errors import FieldError
from service.kinds.kind import Kind, Orphan, Site, UnderWay
from service.kinds.plan import Context, Plan
from service.kinds.slurm import controller, sharing
from service.kinds.slurm.plan import plan
from service.kinds.slurm.settings import SlurmSettings
from service.kinds.slurm.spec import SlurmCommand, SlurmFacts, errors_in
from service.link.capabilities import SIGNALLER
from service.settings import Settings


class Slurm(Kind):
    """Commands on a cluster."""

    name = "slurm"
    spec = SlurmCommand
    settings = SlurmSettings
    keeps_limits = True
    told = SlurmFacts

    def errors_in(self, spec: SlurmCommand, pointer: str, site: Site) -> Iterator[FieldError]:
        return errors_in(spec, pointer, site)

    def needs(self, spec: SlurmCommand) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - whatever it is
        yield "Kind", SIGNALLER

    def plan(self, spec: SlurmCommand, context: Context) -> Plan:
        return plan(spec, context)

    def fault(self, settings: Settings) -> str | None:
        return controller.fault(settings)

    def is_set_up(self, settings: Settings) -> bool:
        return controller.is_set_up(settings)

    def warnings(self, settings: Settings) -> Iterator[str]:
        return sharing.warnings(settings)

    def orphans(self, settings: Settings) -> list[Orphan]:
        return controller.orphans(settings)

    def remove_orphans(self, settings: Settings, orphans: Sequence[Orphan]) -> None:
        controller.cancel(settings, orphans)

    def under_way(self, settings: Settings) -> UnderWay:
        return controller.under_way(settings)

"""Kind `docker`: a command in a container, by Docker's own client.

The client is the command's process; what it can't be relied on for is in `ending`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.errors import FieldError
from service.kinds.docker import daemon
from service.kinds.docker.plan import host_directory, plan
from service.kinds.docker.settings import DockerSettings
from service.kinds.docker.spec import RULES, DockerCommand, errors_in
from service.kinds.kind import Kind, Orphan, Site
from service.kinds.plan import Context, Plan
from service.settings import Settings


class Docker(Kind):
    """Commands in containers."""

    name = "docker"
    spec = DockerCommand
    rules = RULES
    settings = DockerSettings

    def errors_in(self, spec: DockerCommand, pointer: str, site: Site) -> Iterator[FieldError]:
        return errors_in(spec, pointer, site)

    def plan(self, spec: DockerCommand, context: Context) -> Plan:
        return plan(spec, context)

    def host_directory(self, spec: DockerCommand) -> str | None:
        return host_directory(spec)

    def runs_as_others(self, settings: Settings) -> bool:
        return bool(settings.of(DockerSettings).docker_user)

    def fault(self, settings: Settings) -> str | None:
        return daemon.fault(settings)

    def orphans(self, settings: Settings) -> list[Orphan]:
        return daemon.orphans(settings)

    def remove_orphans(self, settings: Settings, orphans: Sequence[Orphan]) -> None:
        daemon.remove(settings, orphans)

"""Kind `bash`: a command line run by `bash -c`, without profile and rc files."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator

from service.jobs.errors import Place
from service.jobs.spec import CommandSpec, places_in_text
from service.kinds.kind import Context, Kind, Plan, Site


class BashCommand(
    CommandSpec,
    frozen=True,
    kw_only=True,
    rename="pascal",
    forbid_unknown_fields=True,
    tag_field="Kind",
    tag="bash",
):
    command_line: str


def places(spec: BashCommand, pointer: str, _site: Site) -> Iterator[Place]:
    """Every place of `spec` that is wrong beyond its types and what all Kinds share."""
    if not spec.command_line.strip():
        yield Place(f"{pointer}/CommandLine", "expected a command line, got an empty one")
    yield from places_in_text(spec.command_line, f"{pointer}/CommandLine")


def plan(spec: BashCommand, context: Context) -> Plan:
    """The argv, with the bash that the service's own PATH finds."""
    # When there is no bash the bare name goes to the supervisor, whose refusal names it.
    return Plan(
        argv=(_find_bash(context.path) or "bash", "-c", spec.command_line),
        environment={
            **context.settings.base_environment,
            **context.environment,
            **spec.environment,
            **context.marker,
        },
    )


@functools.cache
def _find_bash(path: str) -> str | None:
    """Looked up once: the search costs more than all else that a plan takes."""
    return shutil.which("bash", path=path)


BASH = Kind(name="bash", spec=BashCommand, places=places, plan=plan)

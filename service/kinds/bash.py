"""Kind `bash`: a command line run by `bash -c`, without profile and rc files; in a sandbox where
the service has one.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from service.errors import FieldError
from service.jobs.checks import errors_in_text
from service.jobs.fields import CommandLine
from service.jobs.spec import CommandSpec
from service.kinds import sandbox_trial
from service.kinds.kind import Kind, Site
from service.kinds.plan import CannotRun, Context, Plan
from service.kinds.sandbox import in_sandbox
from service.link.capabilities import ONE_PIPE
from service.settings import Settings


class BashCommand(
    CommandSpec,
    frozen=True,
    kw_only=True,
    rename="pascal",
    forbid_unknown_fields=True,
    tag_field="Kind",
    tag="bash",
):
    """`network`: `host`, that of this host, or `none`, the default where there is a sandbox.
    `stderr`: the stream that standard error is logged as; `stdout`: both are one pipe.
    """

    command_line: CommandLine
    network: Literal["none", "host"] | None = None
    stderr: Literal["stderr", "stdout"] = "stderr"


class Bash(Kind):
    """Commands that bash runs."""

    name = "bash"
    spec = BashCommand

    def errors_in(self, spec: BashCommand, pointer: str, site: Site) -> Iterator[FieldError]:
        if not spec.command_line.strip():
            yield FieldError(f"{pointer}/CommandLine", "expected a command line, got an empty one")
        yield from errors_in_text(spec.command_line, f"{pointer}/CommandLine")
        if spec.network == "host" and (why := _why_not_host(site.settings)):
            yield FieldError(f"{pointer}/Network", why)
        if spec.network == "none" and site.settings.sandbox == "off":
            why = "can't be kept: this service has no sandbox (JOBRUNNER_SANDBOX)"
            yield FieldError(f"{pointer}/Network", why)

    def needs(self, spec: BashCommand) -> Iterator[tuple[str, str]]:
        if spec.stderr == "stdout":
            yield "Stderr", ONE_PIPE

    def plan(self, spec: BashCommand, context: Context) -> Plan:
        """The argv, with the bash that the service's own PATH finds."""
        plan = self._plan(spec, context)
        return plan if spec.stderr == "stderr" else replace(plan, one_pipe=True)

    def _plan(self, spec: BashCommand, context: Context) -> Plan:
        # When there is no bash the bare name goes to the supervisor, whose refusal names it.
        argv: tuple[str, ...] = (_find_bash(context.path) or "bash", "-c", spec.command_line)
        environment = {
            **context.settings.job_environment,
            **context.environment,
            **spec.environment,
            **context.marker,
        }
        if context.settings.sandbox == "off":
            return Plan(argv=argv, environment=environment)
        directory = os.path.normpath(os.path.join(context.root, spec.working_dir or ""))
        network = spec.network == "host"
        if network and (why := _why_not_host(context.settings)):
            raise CannotRun(f"The network of this host may not be used: {why}.")
        return in_sandbox(argv, environment, context, directory, network=network)

    def fault(self, settings: Settings) -> str | None:
        return sandbox_trial.fault(settings)


@functools.cache
def _find_bash(path: str) -> str | None:
    """Looked up once: the search costs more than all else that a plan takes."""
    return shutil.which("bash", path=path)


def _why_not_host(settings: Settings) -> str | None:
    # Without a sandbox a command has that network whatever it asks for.
    if settings.sandbox == "off" or "host" in settings.networks:
        return None
    return "expected none: this service allows no command the host's network (JOBRUNNER_NETWORKS)"

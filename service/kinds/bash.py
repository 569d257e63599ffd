"""Kind `bash`: a command line run by `bash -c`, without profile and rc files, or by another shell
that the service allows; in a sandbox where the service has one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from msgspec.structs import replace

from service.errors import FieldError
from service.jobs.checks import errors_in_text
from service.jobs.fields import CommandLine
from service.jobs.spec import CommandSpec
from service.kinds import sandbox_trial, shells
from service.kinds.kind import Kind, Site
from service.kinds.plan import CannotRun, Context, Plan
from service.kinds.sandbox import in_pid_namespace, in_sandbox
from service.kinds.shells import Shell, errors_in_shell, is_too_long
from service.link.capabilities import KEEP, ONE_PIPE, SCRIPT_FILE
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
    """A command line that a shell runs."""

    command_line: CommandLine
    network: Literal["none", "host"] | None = None
    stderr: Literal["stderr", "stdout"] = "stderr"
    background: Literal["end", "keep"] = "end"
    shell: Shell | None = None


class Bash(Kind):
    """Commands that bash runs."""

    name = "bash"
    spec = BashCommand

    def errors_in(self, spec: BashCommand, pointer: str, site: Site) -> Iterator[FieldError]:
        if not spec.command_line.strip():
            yield FieldError(f"{pointer}/CommandLine", "expected a command line, got an empty one")
        yield from errors_in_text(spec.command_line, f"{pointer}/CommandLine")
        yield from errors_in_shell(spec.shell, spec.command_line, pointer, site.settings)
        if spec.network == "host" and (why := _why_not_host(site.settings)):
            yield FieldError(f"{pointer}/Network", why)
        if spec.network == "none" and site.settings.sandbox == "off":
            why = "can't be kept: this service has no sandbox (JOBRUNNER_SANDBOX)"
            yield FieldError(f"{pointer}/Network", why)

        if spec.background == "keep" and (why := _why_not_keep(site.settings)):
            yield FieldError(f"{pointer}/Background", f"can't be kept: {why}")

    def needs(self, spec: BashCommand) -> Iterator[tuple[str, str]]:
        if spec.stderr == "stdout":
            yield "Stderr", ONE_PIPE
        if spec.background == "keep":
            yield "Background", KEEP
        if is_too_long(spec.command_line):
            yield "CommandLine", SCRIPT_FILE

    def plan(self, spec: BashCommand, context: Context) -> Plan:
        """The argv, with the shell that the service's own PATH finds."""
        if spec.background == "keep" and (why := _why_not_keep(context.settings)):
            raise CannotRun(f"What the command leaves can't be kept: {why}.")
        if not is_too_long(spec.command_line):
            plan = self._plan(spec, context, spec.command_line)
        else:
            file = context.files.script(context.number)
            plan = self._plan(spec, context, shells.reading(file), file)
            plan = replace(plan, script=spec.command_line)
        if spec.stderr == "stderr" and spec.background == "end":
            return plan
        return replace(plan, one_pipe=spec.stderr == "stdout", keeps=spec.background == "keep")

    def _plan(
        self, spec: BashCommand, context: Context, line: str, script: str | None = None
    ) -> Plan:
        argv = shells.argv(spec.shell, line, context.path)
        environment = {
            **context.settings.command_environment,
            **context.term,
            **context.environment,
            **spec.environment,
            **context.marker,
        }
        directory = os.path.normpath(os.path.join(context.root, spec.working_dir or ""))
        if context.settings.sandbox == "off":
            if context.settings.pid_namespace == "off":
                return Plan(argv=argv, environment=environment)
            return in_pid_namespace(argv, environment, context, directory)
        network = spec.network == "host"
        if network and (why := _why_not_host(context.settings)):
            raise CannotRun(f"The network of this host may not be used: {why}.")
        return in_sandbox(argv, environment, context, directory, network=network, script=script)

    def fault(self, settings: Settings) -> str | None:
        return sandbox_trial.fault(settings)


def _why_not_keep(settings: Settings) -> str | None:
    if settings.background == "end":
        return "this service ends what commands leave running (JOBRUNNER_BACKGROUND)"
    if settings.sandbox != "off":
        return "a sandbox ends all that is in it with the command (JOBRUNNER_SANDBOX)"
    if settings.pid_namespace != "off":
        return "a PID namespace ends all that is in it with the command (JOBRUNNER_PID_NAMESPACE)"
    return None


def _why_not_host(settings: Settings) -> str | None:
    # Without a sandbox a command has that network whatever it asks for.
    if settings.sandbox == "off" or "host" in settings.networks:
        return None
    return "expected none: this service allows no command the host's network (JOBRUNNER_NETWORKS)"

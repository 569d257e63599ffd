"""`jobrunner` itself: finds a command, runs it, and says in a line what went wrong."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

import service
from service.cli.commands import ASYNCHRONOUS, OPERATOR, SECTIONS, SERVE, VERBS
from service.cli.connection import connection_options
from service.cli.exit_status import FAILED, TIMED_OUT, USAGE, of_signal
from service.cli.loading import loaded
from service.cli.notes import note
from service.client import ServiceUnreachable, UnexpectedAnswer
from service.errors import BadQuery, InvalidJob, JobrunnerError, Unauthenticated

_HELP: Final = {"help_option_names": ["-h", "--help"]}


class Commands(click.Group):
    """Loads a command when it is called; lists all of them without loading any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name in VERBS:
            if cmd_name not in ASYNCHRONOUS:
                loaded("service.client.lean").load_httpx()
            found = loaded(f"service.cli.verbs.{cmd_name}").command
            assert isinstance(found, click.Command)  # noqa: S101 - what a module of verbs has
            return found
        if cmd_name in OPERATOR or cmd_name in SERVE:
            return _OfOperator(cmd_name)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (word := args[0]) not in self.list_commands(ctx) and not word.startswith("-"):
            near = import_module("difflib").get_close_matches(word, self.list_commands(ctx), 1)
            hint = f"; the nearest one is {near[0]}" if near else ""
            raise click.UsageError(f"There is no command {word!r}{hint}.", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        """Without loading them."""
        beginning = import_module("service.cli.completing").beginning
        words = ((name, text) for section in SECTIONS.values() for name, text in section.items())
        return [
            *beginning(words, incomplete),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


class _OfOperator(click.Command):
    """So that it stands beside the others; its own parser reads its arguments."""

    def __init__(self, name: str) -> None:
        arguments = click.Argument(
            ["arguments"],
            nargs=-1,
            type=click.UNPROCESSED,
            shell_complete=lambda ctx, _parameter, incomplete: self.shell_complete(ctx, incomplete),
        )
        super().__init__(
            name,
            context_settings={"ignore_unknown_options": True},
            params=[arguments],
            callback=self._call,
            add_help_option=False,
        )

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        beginning = import_module("service.cli.completing").beginning
        words = import_module("service.cli.parsers").words
        given = [self.name, *(ctx.params.get("arguments") or ())]
        found: list[click.shell_completion.CompletionItem[str]] = beginning(
            words(given, is_option=incomplete.startswith("-")), incomplete
        )
        return found

    def _call(self, arguments: tuple[str, ...]) -> int:
        if self.name in SERVE:
            import_module("service.cli.serve").run(arguments)
        # Loaded when it is called: it stands on half of the service.
        status: int = import_module("service.cli.operator").run([self.name, *arguments])
        return status


@click.group(
    cls=Commands,
    context_settings=_HELP,
    no_args_is_help=False,
    epilog="`jobrunner COMMAND --help` says what a command takes.",
)
@click.version_option(service.__version__, "-V", "--version", message="jobrunner %(version)s")
@connection_options
def jobrunner() -> None:
    """Run jobs, and read their output from anywhere.

    A job goes on whatever happens to who watches it. A job is named by its ID, the beginning of its
    ID, its name, or @last, the one that was submitted last.
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit status."""
    try:
        status = jobrunner.main(
            list(arguments) or ["--help"], prog_name="jobrunner", standalone_mode=False
        )
    except click.UsageError as exc:
        return _usage(exc)
    except (click.Abort, KeyboardInterrupt):
        return of_signal(signal.SIGINT)
    except click.ClickException as exc:
        note(exc.format_message())
        return FAILED
    except TimeoutError as exc:
        note(str(exc))
        return TIMED_OUT
    except (BadQuery, UnicodeError) as exc:  # a value that only the service can judge, or no text
        note(str(exc) if isinstance(exc, BadQuery) else f"Expected text in UTF-8: {exc}.")
        return USAGE
    except (JobrunnerError, ServiceUnreachable, UnexpectedAnswer, OSError) as exc:
        _tell(exc)
        return FAILED
    return status if isinstance(status, int) else 0


def complete() -> int:
    """Print what a shell asks for. Returns the exit status."""
    status: int = import_module("service.cli.completing").run(jobrunner)
    return status


def _usage(error: click.UsageError) -> int:
    command = error.ctx.command_path if error.ctx is not None else "jobrunner"
    note(f"{error.format_message().rstrip('.')}. `{command} --help` says more.")
    return USAGE


def _tell(error: Exception) -> None:
    if isinstance(error, InvalidJob):
        for each in error.errors:
            note(f"{each.pointer or '/'}: {each.detail}")
    elif isinstance(error, Unauthenticated):
        note(f"{error} `jobrunner login URL` stores one.")
    else:
        note(str(error))

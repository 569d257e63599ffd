"""`jobrunner context`: the services that `jobrunner login` has stored."""

from __future__ import annotations

import json

import click

from service.cli import contexts
from service.cli.contexts import Contexts
from service.cli.table import Cell, Column, print_table
from service.cli.target import connection_options, destination_of

_HELP = """Show the services that are stored, and choose one.

`jobrunner login` stores them. A command speaks to the service of --url or --context, else of
$JOBRUNNER_URL, else of the current context, else to http://127.0.0.1:8080. A context's token is
sent to its own URL only.

\b
Examples:
  jobrunner context ls
  jobrunner context use lab
  jobrunner --context lab ps
  jobrunner context rm lab                  # its token is forgotten

\b
Exit status: 0; 125 when there is no such context; 2 for wrong usage.
"""

_COLUMNS = (
    Column(""),
    Column("NAME"),
    Column("URL", least=20),
    Column("TOKEN"),
    Column("CA", least=2),
)


@click.group("context", help=_HELP, short_help="show and choose services", no_args_is_help=False)
def command() -> None:
    pass


_output = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "name"]),
    default="table",
    help="How they are shown (default: table).",
)


@command.command("ls", short_help="list them")
@_output
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
def listing(output: str, *, quiet: bool) -> None:
    """List the contexts; the current one has a star. Tokens are shown by nothing."""
    stored = contexts.read(contexts.path_of())
    known = sorted(stored.contexts.items())
    if quiet or output == "name":
        for name, _ in known:
            print(name)
    elif output == "json":
        rows = [
            {
                "Name": name,
                "URL": context.url,
                "Current": name == stored.current,
                "HasToken": context.token is not None,
                "CA": context.ca,
            }
            for name, context in known
        ]
        print(json.dumps(rows, indent=2))
    else:
        print_table(
            _COLUMNS,
            [
                [
                    Cell("*" if name == stored.current else ""),
                    Cell(name),
                    Cell(context.url),
                    Cell("no" if context.token is None else "yes"),
                    Cell(context.ca or ""),
                ]
                for name, context in known
            ],
        )


@command.command("use", short_help="make one the current one")
@click.argument("name", type=contexts.CONTEXT, metavar="NAME")
def use(name: str) -> None:
    """Speak to this service from now on."""

    def changed(stored: Contexts) -> Contexts:
        stored.named(name)
        return Contexts(current=name, contexts=stored.contexts)

    made = contexts.change(contexts.path_of(), changed)
    print(f"The current context is {name}: {made.named(name).url}.")


@command.command("rm", short_help="forget some, with their tokens")
@click.argument("names", type=contexts.CONTEXT, metavar="NAME...", nargs=-1, required=True)
def remove(names: tuple[str, ...]) -> None:
    """Forget contexts, with their tokens. A token stays valid until the service revokes it."""

    def changed(stored: Contexts) -> Contexts:
        for name in names:
            stored.named(name)
        left = {name: found for name, found in stored.contexts.items() if name not in names}
        return Contexts(
            current=stored.current if stored.current in left else None,
            contexts=left,
        )

    contexts.change(contexts.path_of(), changed)


@command.command("show", short_help="show which service a command would speak to")
@_output
@connection_options
def show(output: str) -> None:
    """Show which service a command would speak to here, and what says so."""
    found = destination_of(click.get_current_context())
    if output == "json":
        row = {"Name": found.context, "URL": found.url, "Source": found.source}
        print(json.dumps(row, indent=2))
    elif output == "name":
        print(found.context or found.url)
    else:
        print(f"{found.url} ({found.source}{f': {found.context}' if found.context else ''})")

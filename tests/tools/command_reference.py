"""The reference of the command line, as Markdown: what each command's own help says, and nothing else."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import click

from service.cli import parsers, serve
from service.cli.commands import SECTIONS, VERBS
from service.cli.group import jobrunner

# They stand in one place, for all.
_FOR_ALL = {"--url", "--context", "--connect-timeout", "--help"}


def reference() -> str:
    """All commands, in the order of `jobrunner --help`."""
    root = click.Context(jobrunner, info_name="jobrunner")
    lines = list(_index())
    for commands in SECTIONS.values():
        for name in commands:
            if name in VERBS:
                command = jobrunner.get_command(root, name)
                assert command is not None
                lines += _of_click(command, click.Context(command, root, info_name=name))
            else:
                lines += _of_argparse(f"jobrunner {name}", parsers.parser_of(name), commands[name])
    return "\n".join(lines) + "\n"


def options_for_all() -> str:
    """Those of every command that speaks to the service."""
    context = click.Context(jobrunner, info_name="jobrunner")
    records = [p.get_help_record(context) for p in jobrunner.get_params(context)]
    return "\n".join(_table(record for record in records if record is not None)) + "\n"


def _index() -> Iterator[str]:
    for title, commands in SECTIONS.items():
        yield f"**{title}**\n"
        for name, about in commands.items():
            yield f"- [`{name}`](#jobrunner-{name}): {about}"
        yield ""


def _of_click(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"### {context.command_path}\n"
    yield f"`{' '.join([context.command_path, *command.collect_usage_pieces(context)])}`\n"
    yield from _prose(command.help or "")
    records = (
        parameter.get_help_record(context)
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and not _FOR_ALL & set(parameter.opts)
    )
    table = list(_table(record for record in records if record is not None))
    yield from [*table, ""] if table else []
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            assert verb is not None
            yield from _of_click(verb, click.Context(verb, context, info_name=name))


def _prose(text: str) -> Iterator[str]:
    """What is indented below a line is a block; each other part is a paragraph."""
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = part.removeprefix("\b").strip("\n").splitlines()
        if len(lines) > 1 and all(line.startswith("  ") for line in lines[1:]):
            block = "\n".join(line.removeprefix("  ") for line in lines[1:])
            yield f"{lines[0].strip()}\n\n```\n{block}\n```\n"
        else:
            yield "\n".join(lines) + "\n"


def _of_argparse(path: str, parser: argparse.ArgumentParser, about: str) -> Iterator[str]:
    verbs = parsers.verbs_of(parser)
    actions = [a for a in parsers.actions_of(parser) if not _is_of_verbs(a) and a.dest != "help"]
    words = [_metavar(a) for a in actions if not a.option_strings]
    options = [a for a in actions if a.option_strings]
    usage = [path, *(["[OPTIONS]"] if options else []), *words, *(["VERB ..."] if verbs else [])]
    yield f"### {path}\n"
    yield f"`{' '.join(usage)}`\n"
    yield from _prose(parser.description or f"{about[:1].upper()}{about[1:]}.")
    table = list(_table((_names(action), _meaning(action)) for action in options))
    yield from [*table, ""] if table else []
    if path == "jobrunner serve":
        yield from _prose(serve.EPILOG)
    for name, verb in verbs.items():
        yield from _of_argparse(f"{path} {name}", verb, parsers.help_of(parser, name))


def _is_of_verbs(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def _names(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings)
    return names + (f" {_metavar(action)}" if action.nargs != 0 else "")


def _meaning(action: argparse.Action) -> str:
    return f"{'required: ' if action.required else ''}{action.help or ''}"


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(action.choices) if action.choices else action.dest.upper()


def _table(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    for number, (names, meaning) in enumerate(rows):
        if number == 0:
            yield "| option | meaning |\n| --- | --- |"
        name, text = (cell.replace("|", "\\|").replace("\n", " ") for cell in (names, meaning))
        yield f"| `{name}` | {text} |"

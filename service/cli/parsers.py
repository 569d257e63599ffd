"""What operators' commands take, as their own parsers know it: to be completed, and documented."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from service.cli import operator, serve
from service.cli.commands import SERVE


def parser_of(name: str) -> argparse.ArgumentParser:
    """The one of a command."""
    return serve.parser() if name in SERVE else verbs_of(operator.parser())[name]


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Those of its verbs, by name; none, if it has none."""
    for action in actions_of(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public name
            return dict(action.choices)
    return {}


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All options, arguments and verbs that help shows."""
    return [action for action in parser._actions if action.help != argparse.SUPPRESS]  # noqa: SLF001 - argparse has no public list


def help_of(parser: argparse.ArgumentParser, verb: str) -> str:
    """What is said of a verb beside its name."""
    for action in actions_of(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for choice in action._choices_actions:  # noqa: SLF001 - as above
                if choice.dest == verb:
                    return choice.help or ""
    return ""


def words(given: Sequence[str], *, is_option: bool) -> Iterator[tuple[str, str]]:
    """What may come behind those words, each with what is said of it."""
    parser = parser_of(given[0])
    for word in given[1:]:
        parser = verbs_of(parser).get(word, parser)
    if is_option:
        for action in actions_of(parser):
            yield from ((name, action.help or "") for name in action.option_strings)
        return
    for action in actions_of(parser):
        if given[-1] in action.option_strings:
            yield from ((f"{choice}", "") for choice in action.choices or ())
            return
    yield from ((name, help_of(parser, name)) for name in verbs_of(parser))

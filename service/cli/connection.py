"""The options that say which service a command speaks to. No client is loaded for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from service.cli.contexts import CONTEXT
from service.cli.destination import Destination, destination
from service.cli.durations import DURATION

F = TypeVar("F", bound=Callable[..., Any])


def connection_options(command: F) -> F:
    """The options by which a service is named; they aren't arguments of the command's function."""
    for option in (
        click.option(
            "--connect-timeout",
            type=DURATION,
            metavar="TIME",
            expose_value=False,
            callback=_keep,
            help="Give up when no service answers for so long (default: 10).",
        ),
        click.option(
            "--url",
            metavar="URL",
            expose_value=False,
            callback=_keep,
            help="The service: http, https or unix:///path (default: $JOBRUNNER_URL, else that of"
            " the context, else http://127.0.0.1:8080).",
        ),
        click.option(
            "--context",
            type=CONTEXT,
            metavar="NAME",
            expose_value=False,
            callback=_keep,
            help="A service that `jobrunner login` has stored (default: the current one).",
        ),
    ):
        command = option(command)
    return command


def _keep(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    """One that stands behind the command's name wins over one before it."""
    given: dict[str, Any] = ctx.ensure_object(dict)
    if value is not None and parameter.name is not None:
        given[parameter.name] = value


def destination_of(ctx: click.Context) -> Destination:
    """Raises: UsageError, ContextError."""
    given: dict[str, Any] = ctx.ensure_object(dict)
    return destination(given.get("url"), given.get("context"))

"""Which service a command speaks to, and the client of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from service.cli.contexts import CONTEXT, ContextError
from service.cli.destination import Destination, destination
from service.cli.notes import dim_note
from service.client.lean import load_httpx
from service.client.retrying import Retry

load_httpx()

from service.client.sync_client import Client  # noqa: E402 - loads httpx, which is as it must be now

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT_TIMEOUT_S: Final = 10.0


def connection_options(command: F) -> F:
    """The options by which a service is named; they aren't arguments of the command's function."""
    for option in (
        click.option(
            "--connect-timeout",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
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


def client() -> Client:
    """The client of the command that runs, closed at its end."""
    ctx = click.get_current_context()
    given: dict[str, Any] = ctx.ensure_object(dict)
    made = client_of(ctx, given.get("connect_timeout", _DEFAULT_TIMEOUT_S))
    ctx.call_on_close(made.close)
    return made


def client_of(ctx: click.Context, timeout_s: float) -> Client:
    """One for the service that the options of `ctx` name. Raises: UsageError, ContextError."""
    found = destination_of(ctx)
    if found.ca is not None and not os.access(found.ca, os.R_OK):
        raise ContextError(f"The CA's certificate of {found.source} can't be read: {found.ca}.")
    try:
        return Client(
            found.url,
            found.token,
            timeout=timeout_s,
            verify=found.ca or True,
            on_retry=_tell_of,
        )
    except ValueError as exc:
        raise click.UsageError(str(exc), ctx) from exc


def destination_of(ctx: click.Context) -> Destination:
    """Raises: UsageError, ContextError."""
    given: dict[str, Any] = ctx.ensure_object(dict)
    return destination(given.get("url"), given.get("context"))


def _tell_of(retry: Retry) -> None:
    """Of each outage once. Most are over before anybody could read a line."""
    if retry.attempt == _TOLD_AT:
        dim_note(f"The service doesn't answer ({retry.why}); trying again.")


_TOLD_AT: Final = 4

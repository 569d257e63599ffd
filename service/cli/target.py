"""Which service a command speaks to, and the client of it."""

from __future__ import annotations

import os
from typing import Any, Final

import click

from service.cli.connection import connection_options, destination_of
from service.cli.contexts import ContextError
from service.cli.notes import dim_note
from service.client.lean import load_httpx
from service.client.retrying import Retry

load_httpx()

from service.client.sync_client import Client  # noqa: E402 - loads httpx, which is as it must be now

__all__ = ["client", "client_of", "connection_options", "destination_of"]

_DEFAULT_TIMEOUT_S: Final = 10.0


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


def _tell_of(retry: Retry) -> None:
    """Of each outage once. Most are over before anybody could read a line."""
    if retry.attempt == _TOLD_AT:
        dim_note(f"The service doesn't answer ({retry.why}); trying again.")


_TOLD_AT: Final = 4

"""`jobrunner mcp`: jobs for agents, by the Model Context Protocol."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import signal
import socket
from importlib import import_module
from typing import Any, Final

import click

from service.cli.connection import connection_options, destination_of
from service.cli.notes import note
from service.client.address import Address, address_of

_HELP = r"""Serve the Model Context Protocol, so that an agent can run commands as jobs.

An agent's host starts it, and speaks to it over standard input and output. The agent acts with the
token of this command: what that may, the agent may.

Its tools are run, read, wait, kill and list. A job goes on when a call is cancelled or this command
ends.

\b
Examples:
  jobrunner mcp
  jobrunner mcp --http                        # http://127.0.0.1:8000/mcp
  jobrunner mcp --http 127.0.0.1:9000
  jobrunner mcp --http 0.0.0.0:9000 --allow-host build.example

With --http a caller has to send the token of this command (Authorization: Bearer TOKEN), which
$JOBRUNNER_TOKEN may choose. Where there is none, but the service is behind a Unix socket, or
--allow-host is given, one is made for this run, and shown with the URL. Without either, whoever
reaches the port may do the same: all of them are users of this host, whom the service takes itself.
It listens on the loopback interface only, unless --allow-host says by which name others call it.
"""

_ON_LOOPBACK: Final = "127.0.0.1:8000"
_INSTALL: Final = "This needs the package mcp, version 2.3 or later: pip install 'jobrunner[mcp]'."


@click.command("mcp", help=_HELP, short_help="serve the Model Context Protocol: jobs for agents")
@click.option(
    "--http",
    "address",
    metavar="[HOST:PORT]",
    is_flag=False,
    flag_value=_ON_LOOPBACK,
    help=f"Listen there instead (default: {_ON_LOOPBACK}).",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name or an address by which others call it.",
)
@connection_options
def command(*, address: str | None, names: tuple[str, ...]) -> None:
    serving = _serving()
    reached, client = _client(click.get_current_context())
    # Nothing is left to be done when it is interrupted, and a thread may wait for standard input.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if address is None:
        if names:
            raise click.UsageError("Expected --http, which --allow-host belongs to.")
        asyncio.run(serving.serve_stdio(client))
        return
    with _listening(address, has_names=bool(names)) as listening:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        token, hint = _token_of_callers(reached, has_names=bool(names))

        def ready() -> None:
            note(f"Serving MCP at http://{shown}:{port}/mcp{hint}")

        asyncio.run(serving.serve_http(client, listening, names, token, ready))


def _serving() -> Any:
    try:
        import_module("mcp_types")  # of the package since version 2
        return import_module("service.mcp.serving")
    except ModuleNotFoundError as exc:
        if (exc.name or "").split(".")[0] == "service":
            raise
        raise click.ClickException(_INSTALL) from exc


def _client(ctx: click.Context) -> tuple[Address, Any]:
    found = destination_of(ctx)
    make = import_module("service.client.async_client").AsyncClient
    timeout_s = ctx.ensure_object(dict).get("connect_timeout", 10.0)
    try:
        reached = address_of(found.url, found.token)
        verify = found.ca or True
        return reached, make(reached.url, reached.token or "", timeout=timeout_s, verify=verify)
    except ValueError as exc:
        raise click.UsageError(str(exc), ctx) from exc


def _token_of_callers(reached: Address, *, has_names: bool) -> tuple[str | None, str]:
    """What they have to send, and what is said of it.

    None only where it would give them nothing: over TCP a service without tokens takes all users of
    its host itself. Its Unix socket may be for fewer, and callers by other names may be elsewhere.
    """
    if reached.token:
        return reached.token, " for callers that send the token of this command"
    if reached.socket is None and not has_names:
        return None, ""
    made = secrets.token_urlsafe()
    return made, f" for callers that send the token {made}"


def _listening(address: str, *, has_names: bool) -> socket.socket:
    """Raises: UsageError; OSError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise click.BadParameter(f"Expected HOST:PORT, got {address!r}.", param_hint="--http")
    if not (has_names or _is_loopback(host)):
        raise click.UsageError(
            f"{host} can be reached by others, who can run commands if they have the token. If they"
            " may: --allow-host NAME, the name by which they call it."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Serves the protocol over standard input and output, or over HTTP, by the package's transports."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import uvicorn
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings

from service.client.async_client import AsyncClient
from service.mcp.bearer import guarded
from service.mcp.server import server_of

_LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


async def serve_stdio(client: AsyncClient) -> None:
    """Until standard input ends."""
    server = server_of(client)
    async with client, stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def serve_http(
    client: AsyncClient,
    listening: socket.socket,
    names: Sequence[str],
    token: str | None,
    ready: Callable[[], None],
) -> None:
    """Until a signal ends it.

    `names`: what callers may name as the host, beside the loopback. `token`: what they have to
    send, if anything.
    """
    hosts = [*_LOCAL_NAMES, *names]
    app = server_of(client).streamable_http_app(
        stateless_http=True,
        # A page in a browser whose name was made to lead here has another name.
        transport_security=TransportSecuritySettings(
            allowed_hosts=[*hosts, *(f"{host}:*" for host in hosts)],
            allowed_origins=[f"http://{host}:*" for host in hosts],
        ),
    )
    config = uvicorn.Config(
        app if token is None else guarded(app, token),
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    async with client:
        ready()
        await uvicorn.Server(config).serve(sockets=[listening])

"""TLS: certificates, and handshakes that count as connections of strangers.

Sanic's server reports a connection only after its handshake: clients that never finish theirs could
take all descriptors. So the server accepts without TLS, counts the connection, and then starts TLS
on a duplicate of its socket.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sanic.worker.loader import CertLoader

from service.web.connection import Connection
from service.web.strangers import Strangers

# Seconds. Three round trips take less over any network.
_HANDSHAKE_S: Final = 10.0


def loader_for(authority: Path | None) -> type[CertLoader]:
    """The class with which Sanic loads its certificate in each worker. It puts the context into
    `app.ctx.tls`, and returns none to Sanic, which then accepts without TLS.

    With an `authority`, clients are asked for a certificate, which it must have signed. A client
    without one needs a token.
    """

    class Loader(CertLoader):
        def load(self, app: Any) -> None:
            context: ssl.SSLContext | None = super().load(app) if self._ssl_data else None
            if context is not None and authority is not None:
                context.verify_mode = ssl.CERT_OPTIONAL
                context.load_verify_locations(authority)
            app.ctx.tls = context

    return Loader


class Accepted(asyncio.Protocol):
    """A connection just accepted, before its handshake. Created by Sanic, replaced by a
    `Connection`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        app: Any = self._options["app"]
        # Duplicated before a byte is read: the first ones belong to the handshake.
        self._socket = transport.get_extra_info("socket").dup()
        transport.abort()
        peer = transport.get_extra_info("peername")
        strangers: Strangers = app.ctx.strangers
        strangers.add(self, peer[0] if isinstance(peer, tuple) else "")
        loop: asyncio.AbstractEventLoop = self._options["loop"]
        self._task = loop.create_task(self._shake_hands(loop, strangers, app.ctx.tls))

    async def _shake_hands(
        self, loop: asyncio.AbstractEventLoop, strangers: Strangers, context: ssl.SSLContext
    ) -> None:
        accepted = self._socket
        assert accepted is not None  # noqa: S101 - set before the task was created
        try:
            await loop.connect_accepted_socket(
                lambda: Connection(**self._options),
                accepted,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
        except (OSError, TimeoutError):  # no TLS, another version, closed, evicted or too slow
            accepted.close()
        finally:
            strangers.discard(self)

    def evict(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)

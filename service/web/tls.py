"""TLS: the certificates, and handshakes that count as connections of strangers.

Sanic's server would tell nobody of a connection before its handshake is done: those that never do
it could take all descriptors. So the server listens without TLS, and each connection is accepted
anew with it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sanic.worker.loader import CertLoader

from service.web.connection import Connection
from service.web.strangers import Strangers

# Seconds: three round trips take less over any network.
_HANDSHAKE_S: Final = 10.0


def loader_for(authority: Path | None) -> type[CertLoader]:
    """What Sanic loads its certificate with, in each worker. The context is kept in `app.ctx.tls`;
    that the server itself has none is what Sanic is told.

    Of an `authority` client certificates are asked for, and verified. A client without one gets in
    as far as its token lets it.
    """

    class Loader(CertLoader):
        def __init__(self, ssl_data: ssl.SSLContext | dict[str, str | os.PathLike[str]]) -> None:
            super().__init__(ssl_data)

        def load(self, app: Any) -> None:
            context: ssl.SSLContext | None = super().load(app) if self._ssl_data else None
            if context is not None and authority is not None:
                context.verify_mode = ssl.CERT_OPTIONAL
                context.load_verify_locations(authority)
            app.ctx.tls = context

    return Loader


class Accepted(asyncio.Protocol):
    """A connection that was just accepted; made by Sanic. It becomes a `Connection`, at once or
    after its handshake.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        app: Any = self._options["app"]
        # A copy of the descriptor, before a byte was read: the first ones belong to the handshake.
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
        assert accepted is not None  # noqa: S101 - it is what the task was made for
        try:
            await loop.connect_accepted_socket(
                lambda: Connection(**self._options),
                accepted,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
        except (OSError, TimeoutError):  # no TLS, another version, gone, evicted or too slow
            accepted.close()
        finally:
            strangers.discard(self)

    def evict(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)

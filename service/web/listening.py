"""What Sanic listens on: its TCP port or the socket of `--unix`, and that of JOBRUNNER_SOCKET too.

1. The main process makes each socket once, before there are workers, and every worker is spawned
   with all of them. Sanic by itself makes a Unix socket anew in each worker, under the same name:
   only the worker that was last would get connections, and none would while that one is replaced.
2. In a worker the socket of JOBRUNNER_SOCKET has a second server of asyncio. Its connections stand
   in the set that Sanic keeps of those of its own: at a stop they are closed, awaited and aborted
   alike.
3. That server is closed first at a stop: who connects meanwhile waits for another worker, or for
   the successor of this one.
4. The main process removes the files of the Unix sockets, once no worker lives.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from sanic.mixins import startup
from sanic.server import runners
from sanic.server import socket as sockets
from sanic.worker import serve as worker

from service.settings import Settings
from service.web import unix_socket
from service.web.connection import Connection
from service.web.refusal import EXIT_ERROR, refuse
from service.web.unix_socket import CannotListen, UnixSocket, WrongGroup

# Connections that wait to be accepted: beyond it a client's next try comes after a second.
BACKLOG: Final = 1024
# The name, in the context that Sanic hands on to its workers, of the second socket.
_SECOND: Final = "second_listener"
# Who may connect if the settings don't say: to the socket of `--unix`; to that of JOBRUNNER_SOCKET;
# and to that one if it has a group of its own.
_EVERYBODY: Final = 0o666
_OWNER: Final = 0o600
_OWNER_AND_GROUP: Final = 0o660

_configure: Final[Any] = sockets.configure_socket
_runners: Final[Any] = runners
_worker: Final[Any] = worker
_startup: Final[Any] = startup
_serve: Final[Any] = _worker._serve_http_1  # noqa: SLF001 - where a worker has both
_PARAMETERS: Final = inspect.signature(_serve)


class Listening:
    """One in each process. In the main process it has the Unix sockets whose files it made."""

    def __init__(self, app: Any) -> None:
        """Have Sanic listen so from now on, in this process."""
        self._app = app
        self._settings: Settings = app.ctx.settings
        self._unix: list[UnixSocket] = []
        bind: Any = partial(self._bind, default_mode=_EVERYBODY)
        sockets.bind_unix_socket = bind
        # Each is imported there by that name.
        _runners.bind_unix_socket = bind
        _startup.configure_socket = self._listen
        _worker._serve_http_1 = _serve_given  # noqa: SLF001 - as above

    def close(self) -> None:
        """In the main process: listen on no Unix socket any more, and remove their files."""
        for each in self._unix:
            each.close()

    def _listen(self, options: dict[str, Any]) -> socket.socket | None:
        """In the main process. Raises: SystemExit, when nothing can listen there."""
        try:
            listener = self._first(options)
            self._second()
        except WrongGroup as exc:
            self.close()
            refuse(f"{exc}")
        except CannotListen as exc:
            self.close()
            print(f"jobrunner: {exc}", file=sys.stderr)  # noqa: T201 - for the operator
            raise SystemExit(EXIT_ERROR) from exc
        return listener

    def _first(self, options: dict[str, Any]) -> socket.socket | None:
        """Raises: CannotListen."""
        try:
            listener: socket.socket | None = _configure(options)
        except OSError as exc:
            where = f"{options['host']}:{options['port']} (JOBRUNNER_PORT, --port)"
            raise CannotListen(where, f"{exc.strerror}.") from exc
        if options["unix"]:
            options["sock"] = listener
        return listener

    def _second(self) -> None:
        """Raises: CannotListen."""
        settings = self._settings
        if settings.socket is None:
            return
        mode = _OWNER if settings.socket_group is None else _OWNER_AND_GROUP
        # Set as an attribute, Sanic would warn: it knows of no socket that processes can share.
        vars(self._app.shared_ctx)[_SECOND] = self._bind(settings.socket, default_mode=mode)

    def _bind(
        self, path: Path | str, *, default_mode: int, backlog: int = BACKLOG
    ) -> socket.socket:
        """Raises: CannotListen."""
        mode = self._settings.socket_mode
        made = unix_socket.listen(
            Path(path),
            mode=default_mode if mode is None else mode,
            group=self._settings.socket_group,
            backlog=backlog,
        )
        self._unix.append(made)
        return made.listener


def _serve_given(*arguments: Any) -> Any:
    """In a worker: listen on the sockets that it was given, and leave their files to the main
    process. Sanic looks whether others listen by a connection, which nobody might accept any more.
    """
    given = _PARAMETERS.bind(*arguments).arguments
    app = given["app"]
    if given["unix"] and given["sock"] is not None:
        _runners.bind_unix_socket = lambda *_, **__: given["sock"]
        _runners.remove_unix_socket = lambda _path: None
    if (listener := getattr(app.shared_ctx, _SECOND, None)) is not None:
        given["connections"] = set()
        shared = {name: given[name] for name in ("app", "loop", "connections", "signal", "state")}
        make = partial(Connection, unix=str(app.ctx.settings.socket), **shared)
        _SecondServer(make, listener).attach(app)
    return _serve(**given)


class _SecondServer:
    """In one worker."""

    def __init__(self, make: Any, listener: socket.socket) -> None:
        self._make = make
        self._listener = listener
        self._server: asyncio.Server | None = None

    def attach(self, app: Any) -> None:
        app.after_server_start(self._start)
        app.before_server_stop(self._stop)

    async def _start(self, _app: Any) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            self._make, sock=self._listener, backlog=BACKLOG
        )

    async def _stop(self, _app: Any) -> None:
        # Sanic calls this twice at once on Ctrl-C.
        if self._server is not None:
            self._server.close()

"""Who may connect to the Unix socket that the service listens on (`--unix`).

Sanic makes its file with a mode that lets every user of the host connect. Here it is made for its
owner alone, and then given to the group and the mode that the settings name: at no moment may
anybody connect who may not afterwards.

Sanic makes it anew in each worker, under the same name: only the worker that was last would get
connections, and none would while that one is replaced. Here the main process makes it once, and
each worker gets it, as it gets a socket of TCP.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any, Final

from sanic.mixins import startup
from sanic.server import runners
from sanic.server import socket as sockets
from sanic.worker import serve as worker

from service.settings import Settings
from service.web.refusal import refuse

_bind: Final = sockets.bind_unix_socket
_configure: Final[Any] = sockets.configure_socket
_runners: Final[Any] = runners
_worker: Final[Any] = worker
_startup: Final[Any] = startup
_serve: Final[Any] = _worker._serve_http_1  # noqa: SLF001 - where a worker has both
_PRIVATE: Final = 0o600


def restrict(settings: Settings) -> None:
    """Have Sanic make its socket so from now on, in this process."""
    listen: Any = partial(_listen, settings)
    sockets.bind_unix_socket = listen
    # Each is imported there by that name.
    _runners.bind_unix_socket = listen
    _startup.configure_socket = _hand_on
    _worker._serve_http_1 = _serve_given  # noqa: SLF001 - as above


def _hand_on(options: dict[str, Any]) -> socket.socket | None:
    """In the main process: the socket, which every worker is spawned with."""
    listener: socket.socket | None = _configure(options)
    if options["unix"]:
        options["sock"] = listener
    return listener


def _serve_given(
    host: Any, port: Any, app: Any, ssl: Any, sock: Any, unix: Any, *others: Any
) -> Any:
    """In a worker: listen on the socket that it was given, and leave the file to the main process.
    Sanic looks whether others listen by a connection, which nobody might accept any more.
    """
    if unix and multiprocessing.parent_process() is not None:
        _runners.bind_unix_socket = lambda *_, **__: sock
        _runners.remove_unix_socket = lambda _path: None
    return _serve(host, port, app, ssl, sock, unix, *others)


def _listen(settings: Settings, path: Path | str, *, backlog: int) -> socket.socket:
    """Raises: SystemExit, when the group can't be given the socket."""
    listener: socket.socket = _bind(path, mode=_PRIVATE, backlog=backlog)
    try:
        if settings.socket_group is not None:
            os.chown(path, -1, settings.socket_group)
        os.chmod(path, settings.socket_mode)
    except OSError as exc:
        listener.close()
        os.unlink(path)
        refuse(
            f"The socket {str(path)!r} can't be given to the group of JOBRUNNER_SOCKET_GROUP:"
            f" {os.strerror(exc.errno or 0)}. A service that isn't root needs to be in it."
        )
    return listener

"""Who may connect to the Unix socket that the service listens on (`--unix`).

Sanic makes its file with a mode that lets every user of the host connect. Here it is made for its
owner alone, and then given to the group and the mode that the settings name: at no moment may
anybody connect who may not afterwards.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from typing import Any, Final

from sanic.server import runners
from sanic.server import socket as sockets

from service.settings import Settings
from service.web.refusal import refuse

_bind: Final = sockets.bind_unix_socket
_PRIVATE: Final = 0o600


def restrict(settings: Settings) -> None:
    """Have Sanic make its socket so from now on, in this process."""
    listen: Any = partial(_listen, settings)
    sockets.bind_unix_socket = listen
    runners.bind_unix_socket = listen  # type: ignore[attr-defined]  # imported there by that name


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

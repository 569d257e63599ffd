"""Clients that are gone without a word: a firewall forgot the connection, or the machine is off.

Where nothing is under way to the client, keepalive probes of the kernel find out. Where something
is, the kernel would repeat it for a quarter of an hour; `is_dead` tells from the last
acknowledgement. TCP_USER_TIMEOUT doesn't: it also ends a connection whose client is there and reads
nothing for that long, as a pager does. Source: tcp(7); tcp_probe_timer of the kernel.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, Final

# Seconds of silence until the first probe; between two; how many: two minutes in all.
_IDLE_S: Final = 60
_INTERVAL_S: Final = 15
_PROBES: Final = 4
# Seconds without an acknowledgement of what is under way. A client that reads nothing acknowledges
# a probe at least every 120 s: the kernel's TCP_RTO_MAX.
DEAD_AFTER_S: Final = 150.0

_OPTIONS: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES),
)
# `tcpi_last_ack_recv`, in milliseconds. Source: struct tcp_info in linux/tcp.h.
_LAST_ACK: Final = struct.Struct("56xI")
_INT: Final = struct.Struct("i")


def probe_when_silent(transport: Any) -> None:
    """Have the kernel end the connection when its client is gone."""
    if (peer := _tcp_of(transport)) is not None:
        with suppress(OSError):  # it is closed already
            for level, option, value in _OPTIONS:
                peer.setsockopt(level, option, value)


def is_dead(transport: Any, *, after_s: float = DEAD_AFTER_S) -> bool:
    """Whether the client of a connection with such probes has acknowledged nothing for so long,
    though there is something to acknowledge.
    """
    if (peer := _tcp_of(transport)) is None:
        return False
    with suppress(OSError):
        unacknowledged = _INT.unpack(fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK.size)
        return bool(unacknowledged) and _LAST_ACK.unpack(info)[0] > after_s * 1000
    return False


def _tcp_of(transport: Any) -> Any:
    """The socket of the connection; None when it isn't TCP, or is gone."""
    peer = None if transport is None else transport.get_extra_info("socket")
    is_tcp = peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6)
    return peer if is_tcp else None

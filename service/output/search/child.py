"""The process that searches: it takes requests from a socket, and gives each search a turn.

A search is asked for its parts one by one, by whoever has taken those before. So a reader that
doesn't read holds nothing up, and many searches take turns. The process ends with the socket.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections import deque
from contextlib import suppress
from typing import Any, Final

from service.errors import BadQuery, JobrunnerError
from service.output.search.pattern import compiled
from service.output.search.request import Grep, SearchRequest, packed, unpacked
from service.output.search.search import Search

__all__ = ["main"]

_NICENESS: Final = 5
"""Requests that want no search go first."""

_MAX_MEMORY: Final = 2 << 30
"""Bytes of addresses: what Python and the engine map, and the caches of patterns."""

_RECEIVED_BYTES: Final = 64 << 10


class _Server:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        self._searches: dict[int, Search] = {}
        self._waiting: deque[dict[str, Any]] = deque()  # each asks for a turn

    def serve(self) -> None:
        """Returns when the other end is closed."""
        while self._receive(wait=not self._waiting):
            if self._waiting:
                self._connection.sendall(packed(self._answer(self._waiting.popleft())))

    def _receive(self, *, wait: bool) -> bool:
        try:
            data = self._connection.recv(_RECEIVED_BYTES, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        self._received += data
        while len(self._received) >= 4:
            end = 4 + int.from_bytes(self._received[:4], "little")
            if len(self._received) < end:
                break
            message, self._received = self._received[4:end], self._received[end:]
            self._handle(unpacked(message))
        return bool(data)

    def _handle(self, message: dict[str, Any]) -> None:
        if message["do"] != "close":
            self._waiting.append(message)
            return
        number = message["number"]
        # One that is closed asks for at most one turn.
        for waiting in [each for each in self._waiting if each["number"] == number]:
            self._waiting.remove(waiting)
        if found := self._searches.pop(number, None):
            found.close()

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = {"number": message["number"]}
        try:
            return reply | self._do(message)
        except BadQuery as error:
            return reply | {"refused": error.detail}
        except (JobrunnerError, OSError, MemoryError) as error:
            return reply | {"error": f"{type(error).__name__}: {error}"}

    def _do(self, message: dict[str, Any]) -> dict[str, Any]:
        number = message["number"]
        match message["do"]:
            case "check":
                grep = Grep(**message["grep"])
                compiled(grep.pattern, ignores_case=grep.ignores_case)
            case "open":
                self._searches[number] = Search(SearchRequest.unpack(message["request"]))
            case "next":
                return {"part": self._searches[number].next().pack()}
        return {}


def main() -> None:
    """Serves the socket that is standard input."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    with socket.socket(fileno=os.dup(0)) as connection, suppress(ConnectionError):
        _Server(connection).serve()
    sys.exit(0)

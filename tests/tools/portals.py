"""Between a client and the service: the way, which another program can take over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from urllib.parse import urlsplit

SILENCE = b""
"""In place of an answer: requests are read, and nothing comes back."""


class Portal:
    """It passes bytes on to the service at `url`, or answers every request by itself."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._service = (parts.hostname or "", parts.port or 80)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._answer: bytes | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.answered: SimpleQueue[bytes] = SimpleQueue()
        self._start(self._accept)

    def take_over(self, answer: bytes) -> None:
        """Answer so from now on; what is open is cut."""
        with self._lock:
            self._answer = answer
        self._cut()

    def let_through(self) -> None:
        """The service answers again; what is open is cut."""
        with self._lock:
            self._answer = None
        self._cut()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listening.close()
        self._cut()
        for thread in self._threads:
            thread.join()

    def _cut(self) -> None:
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                answer = self._answer
                self._open.add(client)
                service = None
                if answer is None:
                    service = socket.create_connection(self._service)
                    self._open.add(service)
            if service is None:
                self._start(self._answered, client, answer)
            else:
                done = threading.Barrier(2)
                self._start(self._pass, client, service, done)
                self._start(self._pass, service, client, done)

    def _answered(self, client: socket.socket, answer: bytes) -> None:
        with suppress(OSError):
            request = client.recv(1 << 16)
            self.answered.put(request)
            client.sendall(answer)
            while answer == SILENCE and client.recv(1 << 16):
                pass
        self._closed(client)

    def _pass(self, source: socket.socket, sink: socket.socket, done: threading.Barrier) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        done.wait()  # nobody uses the descriptor when it is closed
        self._closed(source)

    def _closed(self, each: socket.socket) -> None:
        with self._lock:
            self._open.discard(each)
        each.close()


@contextmanager
def portal_before(url: str) -> Iterator[Portal]:
    portal = Portal(url)
    try:
        yield portal
    finally:
        portal.close()

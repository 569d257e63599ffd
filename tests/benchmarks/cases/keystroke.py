"""From a key to its echo on a job's terminal, over a WebSocket, against a bare pseudo terminal."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from case import Case, Lab, Row, Setup
from running import running
from websockets.sync.client import connect
from wire import BadAnswer, Line

# Keys before the caches are warm.
_DROPPED = 50
_KEYS = 1000


def _delays_us(press: Callable[[bytes], object], read: Callable[[], bytes]) -> tuple[float, float]:
    """p50 and p99; a key is pressed when the one before was shown."""
    delays_us: list[float] = []
    for number in range(_DROPPED + _KEYS):
        key = b"\n" if number % 64 == 63 else b"abcdefghij"[number % 10 :][:1]
        begun_ns, shown = time.monotonic_ns(), b""
        press(key)
        while key not in shown:
            if not (data := read()):
                raise BadAnswer(f"it ended after {number} keys")
            shown += data
        delays_us.append((time.monotonic_ns() - begun_ns) / 1000)
    cuts = statistics.quantiles(delays_us[_DROPPED:], n=100)
    return cuts[49], cuts[98]


@contextmanager
def _keystroke(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "keystroke", workers=1) as service:

        def ours() -> tuple[float, float]:
            with Line(service.port) as line:
                # Nothing reads: the kernel shows what is typed.
                job_id = line.submit({"CommandLine": "exec sleep infinity", "TTY": {}})
            url = f"ws://127.0.0.1:{service.port}/{job_id}/ws"
            try:
                with connect(url, compression=None, proxy=None) as socket:
                    return _delays_us(socket.send, lambda: _bytes(socket.recv()))
            finally:
                service.kill(job_id, grace=0, wait="true")

        def bare() -> tuple[float, float]:
            master, slave = os.openpty()
            try:
                with subprocess.Popen(["sleep", "infinity"], stdin=slave) as process:
                    try:
                        return _delays_us(
                            lambda key: os.write(master, key), lambda: os.read(master, 65536)
                        )
                    finally:
                        process.kill()
            finally:
                os.close(master)
                with suppress(OSError):
                    os.close(slave)

        yield Setup(ours, bare)


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


CASES = (
    Case(
        "keystroke",
        "microseconds from a key to its echo, over a WebSocket and back",
        (
            Row("keystroke-p50", "µs", "bare pty"),
            Row("keystroke-p99", "µs", "bare pty"),
        ),
        _keystroke,
    ),
)

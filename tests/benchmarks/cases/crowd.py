"""Many readers of one job: those that follow, against a bare broadcaster, and those that never read."""

from __future__ import annotations

import os
import re
import select
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from case import Case, Lab, Row, Setup, Skipped, at_least, at_most
from memory import private_kb
from processes import cpu_s, may_open, of_service
from program import python
from running import Service, running
from wire import BadAnswer, Line, request

_SILENT = 100
# Descriptors that a process of ours has besides those of its readers.
_OTHERS = 200
_FUSE_S = 60.0
_MB = 1e6
_STAMP = re.compile(rb"(\d{20})\n")
_LINE_BYTES = 21
# The same in JSON, in which a newline is two bytes.
_STAMP_IN_JSON = re.compile(rb"(\d{20})\\n")
_BROADCASTER = Path(__file__).parents[1] / "programs" / "broadcaster.py"


@dataclass(frozen=True, slots=True)
class Size:
    """`readers` that follow so many `lines`."""

    readers: int
    lines: int
    interval_s: float
    workers: int = 1


_THOUSAND = Size(1000, lines=300, interval_s=0.01)
_TEN_THOUSAND = Size(10_000, lines=100, interval_s=0.1, workers=2)


class Crowd:
    """Connections that are read until each has every line."""

    def __init__(
        self, size: Size, port: int, greeting: bytes, stamp: re.Pattern[bytes] = _STAMP
    ) -> None:
        self._stamp = stamp
        self._lines = size.lines
        self._peers = [
            socket.create_connection(("127.0.0.1", port), _FUSE_S) for _ in range(size.readers)
        ]
        for peer in self._peers:
            if greeting:
                peer.sendall(greeting)
                while b"\r\n\r\n" not in peer.recv(4096):
                    pass
            peer.settimeout(0)

    def tell(self) -> None:
        """Have one of them say something."""
        self._peers[0].sendall(b"\n")

    def follow(self) -> float:
        """Read all lines on all of them; the p99 in µs of how long one was under way.

        What is done for a line is the same for its first and its last, and little: what the client
        takes is taken from whom it measures.
        """
        delays_us: list[float] = []
        peers = {peer.fileno(): peer for peer in self._peers}
        rest = dict.fromkeys(peers, b"")
        left = dict.fromkeys(peers, self._lines)
        waiting = len(peers)
        with select.epoll() as poller:
            for number in peers:
                poller.register(number, select.EPOLLIN)
            while waiting:
                ready = poller.poll(_FUSE_S)
                now_ns = time.monotonic_ns()
                for number, _ in ready:
                    data = peers[number].recv(65536)
                    if not data:
                        raise BadAnswer(f"a stream ended {left[number]} lines early")
                    data = rest[number] + data
                    found = self._stamp.findall(data)
                    if found and number % 8 == 0:
                        delays_us.append((now_ns - int(found[0])) / 1000)
                    rest[number] = data[data.rfind(found[-1]) + _LINE_BYTES :] if found else data
                    left[number] -= len(found)
                    if not left[number]:
                        poller.unregister(number)
                        waiting -= 1
                if not ready:
                    raise BadAnswer(f"{waiting} readers wait for lines")
        return statistics.quantiles(delays_us, n=100)[98]

    def close(self) -> None:
        for peer in self._peers:
            peer.close()


@contextmanager
def _following(lab: Lab, size: Size) -> Iterator[Setup]:
    with _followed(lab, size) as follow:
        yield Setup(follow, lambda: _broadcast(size))


@contextmanager
def _following_events(lab: Lab) -> Iterator[Setup]:
    with _followed(lab, _THOUSAND) as follow:
        yield Setup(lambda: follow("?format=sse", _STAMP_IN_JSON), follow)


@contextmanager
def _followed(lab: Lab, size: Size) -> Iterator[Callable[..., tuple[float, float]]]:
    may_open(size.readers + _OTHERS)
    stamps = shlex.join(python("stamps", size.lines, size.interval_s))
    directory = lab.directory / f"crowd-{size.readers}"
    gate = lab.directory / f"gate-{size.readers}"
    os.mkfifo(gate)
    with running(directory, workers=size.workers) as service, Line(service.port) as line:

        def follow(parameters: str = "", stamp: re.Pattern[bytes] = _STAMP) -> tuple[float, float]:
            job_id = line.submit(
                {"CommandLine": f"read -r _ < {shlex.quote(str(gate))}; exec {stamps}"}
            )
            attach = request("GET", f"/{job_id}/attach{parameters}")
            crowd = Crowd(size, service.port, attach, stamp)
            before = cpu_s(of_service(service))
            with gate.open("w") as opened:
                opened.write("go\n")
            p99 = crowd.follow()
            line.ask(request("GET", f"/{job_id}/wait"))
            used = cpu_s(of_service(service)) - before
            crowd.close()
            return used, p99

        yield follow


def _broadcast(size: Size) -> tuple[float, float]:
    numbers = (size.readers, size.lines, size.interval_s)
    argv = [sys.executable, str(_BROADCASTER), *map(str, numbers)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            crowd = Crowd(size, int(process.stdout.readline()), b"")
            before = cpu_s([process.pid])
            crowd.tell()
            p99 = crowd.follow()
            used = cpu_s([process.pid]) - before
            crowd.close()
            return used, p99
        finally:
            process.kill()


# Readers that never read


@contextmanager
def _silent(lab: Lab) -> Iterator[Setup]:
    size_bytes = lab.size_bytes // 4
    with running(lab.directory / "silent", workers=1) as service, Line(service.port) as line:

        def rate(job_id: str, begin: Callable[[], None]) -> float:
            with Line(service.port) as reader:
                stream = reader.open_stream(f"/{job_id}/attach")
                begin()
                started_s = time.monotonic()
                if (got := stream.count()) != size_bytes:
                    raise BadAnswer(f"{got} bytes came, {size_bytes} were written")
                return size_bytes / (time.monotonic() - started_s) / _MB

        def flood(silent: int) -> tuple[float, float, float]:
            gate = lab.directory / f"silent-gate-{time.monotonic_ns()}"
            os.mkfifo(gate)
            wait = f"read -r _ < {shlex.quote(str(gate))}"
            job_id = line.submit({"CommandLine": f"{wait}; head -c {size_bytes} /dev/zero"})
            with ExitStack() as open_:
                before_kb, before_mb = _private(service), _kernel_mb()
                for _ in range(silent):
                    open_.enter_context(Line(service.port)).open_stream(f"/{job_id}/attach")
                rate_mb = rate(job_id, lambda: gate.write_text("go\n") and None)
                grown = (_private(service) - before_kb) * 1024 / _MB
                kernel = (_kernel_mb() - before_mb) / max(1, silent)
            line.ask(request("GET", f"/{job_id}/wait"))
            line.ask(request("POST", f"/{job_id}/clean"))
            return rate_mb, grown, kernel

        yield Setup(lambda: flood(_SILENT), lambda: flood(0)[:1])


def _private(service: Service) -> int:
    return sum(map(private_kb, of_service(service)))


def _kernel_mb() -> float:
    """Memory of all TCP sockets. Source: proc(5), net/sockstat: in pages."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGESIZE") / _MB
    raise Skipped("this kernel doesn't tell the memory of its sockets")


CASES = (
    Case(
        "crowd",
        "1000 attached readers of 100 lines a second: processor time, and how long a line takes",
        (
            Row("crowd: CPU", "s", "bare broadcaster", at_most(1.3)),
            Row("crowd: p99", "µs", "bare broadcaster", at_most(2)),
        ),
        partial(_following, size=_THOUSAND),
    ),
    Case(
        "crowd-10k",
        "10 000 attached readers of 10 lines a second, two workers: the same",
        (
            Row("crowd-10k: CPU", "s", "bare broadcaster", at_most(1.3)),
            Row("crowd-10k: p99", "µs", "bare broadcaster"),
        ),
        partial(_following, size=_TEN_THOUSAND),
    ),
    Case(
        "events",
        "the same as server-sent events",
        (
            Row("events: CPU", "s", "the same as text", at_most(1.5)),
            Row("events: p99", "µs", "the same as text", at_most(2)),
        ),
        _following_events,
    ),
    Case(
        "silent",
        "a quarter of --size to one reader, while 100 others are attached that never read",
        (
            Row("silent", "MB/s", "the reader alone", at_least(0.9)),
            Row("silent: memory", "MB", goal=at_most(20)),
            Row("silent: kernel", "MB each", goal=at_most(0.5)),
        ),
        _silent,
    ),
)

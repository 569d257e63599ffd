"""Many jobs that write numbered lines when they are told to, and readers that attach to them.

What each job writes is known beforehand: `seq` from a number of its own, as many lines as the test
has asked for, so its output can be compared byte for byte whatever died meanwhile. A job waits for
the test at a FIFO, which holds what was asked for until the job reads it.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import threading
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from leaks import descriptors
from running import Service

# Seconds: a fuse.
_FUSE_S = 300.0
_SCRIPT = """\
exec 3<"$GATE"
[ "$STREAM" = 1 ] || exec >&2
at=$FROM
while read -r lines <&3 && [ "$lines" != end ]; do
    seq $((at + 1)) $((at + lines))
    at=$((at + lines))
    echo >"$DONE"
done
[ "$CODE" -ge 0 ] || kill "$CODE" $$
exit "$CODE"
"""
# Lines that a job writes at a turn: some write little, some much. The last is about 2 MB.
_LINES = (1, 2000, 2000, 1, 2000, 2000, 1, 2000, 2000, 200_000)


class Numbered:
    """One such job. `code` is how its last command ends: an exit code, or minus a signal."""

    def __init__(
        self, directory: Path, number: int, *, lines: int, code: int, commands: int
    ) -> None:
        self.id = ""
        self.lines = lines
        self.codes = [*([0, 3] * commands)[: commands - 1], code]
        self._number = number
        self._stream = 1 + (number % 4 == 3)
        self._gate, self._asking = _fifo(directory / f"gate-{number}")
        self._done, self._telling = _fifo(directory / f"done-{number}")
        self._turns = 0  # that it wasn't seen to have written
        self._written = [0]  # lines of each command, as far as they were asked for

    def submission(self) -> dict[str, Any]:
        shared = {"GATE": str(self._gate), "STREAM": str(self._stream), "DONE": str(self._done)}
        commands = [
            {
                "CommandLine": _SCRIPT,
                "Environment": {"FROM": str(self._from(command)), "CODE": str(code)},
                "ContinueOnFailure": True,
            }
            for command, code in enumerate(self.codes)
        ]
        return {"Environment": shared, "Commands": commands, "Name": f"numbered-{self._number}"}

    def turn(self, lines: int | None = None) -> None:
        """Have it write `lines` more, or as many as it always does, unless it was to end."""
        if len(self._written) > len(self.codes):
            return
        lines = self.lines if lines is None else lines
        os.write(self._asking, b"%d\n" % lines)
        self._written[-1] += lines
        self._turns += 1

    def wait_written(self) -> None:
        """Return once its process has written all that was asked for: its pipe took it."""
        while self._turns:
            self._turns -= len(os.read(self._telling, self._turns))

    def end(self) -> None:
        """Have its present command end."""
        os.write(self._asking, b"end\n")
        self._written.append(0)

    def end_all(self) -> None:
        """Have all its commands end."""
        while len(self._written) <= len(self.codes):
            self.end()

    def written(self) -> bytes:
        """What its processes write, or wrote: all that was asked for."""
        runs = [
            f"seq {self._from(c) + 1} {self._from(c) + count}"
            for c, count in enumerate(self._written)
            if count
        ]
        return subprocess.check_output(["bash", "-c", "\n".join(runs)])

    def check(self, service: Service) -> None:
        """It ended by itself, as it was to end, and all it wrote is there."""
        view = service.wait(self.id)
        *others, last = self.codes
        assert (view["State"], view["Error"]) == ("exited", None), view
        assert (view["ExitCode"], view["Signal"]) == _outcome(last), view
        assert [(c["ExitCode"], c["Signal"]) for c in view["Commands"]] == [
            _outcome(code) for code in (*others, last)
        ]
        written = self.written()
        assert view["Output"]["Complete"]
        assert view["Output"]["Bytes"] == len(written)
        assert self.stored(service) == written
        with_stream = self._stream == 1
        shown = service.output(self.id, stream="stdout" if with_stream else "stderr", offset=-1000)
        assert shown == written[-1000:]

    def check_killed(self, service: Service, reason: str) -> None:
        """It was ended by the service, and what it had written is a beginning of what it would
        have written.
        """
        view = service.wait(self.id)
        assert (view["State"], view["Reason"]) == ("killed", reason), view
        stored = self.stored(service)
        assert len(stored) == view["Output"]["Bytes"]
        assert self.written().startswith(stored)

    def stored(self, service: Service) -> bytes:
        """Its output as it stands in the state directory."""
        path = service.state_dir / "logs" / self.id / "output"
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        os.close(self._asking)
        os.close(self._telling)

    def _from(self, command: int) -> int:
        return self._number * 10**9 + command * 10**8


def _fifo(path: Path) -> tuple[Path, int]:
    """A FIFO, open for reading and writing: no side ever blocks in open(2), and what was written
    stays until it is read.
    """
    os.mkfifo(path)
    return path, os.open(path, os.O_RDWR | os.O_CLOEXEC)


def _outcome(code: int) -> tuple[int | None, str | None]:
    return (code, None) if code >= 0 else (None, {-9: "SIGKILL", -11: "SIGSEGV"}[code])


class Crowd:
    """`count` jobs of one command, and `sequences` of three. Left, their gates are closed."""

    def __init__(self, directory: Path, *, count: int = 50, sequences: int = 5) -> None:
        self._directory = directory
        self.jobs: list[Numbered] = []
        for _ in range(count):
            self.add()
        self.sequences = [self.add(commands=3) for _ in range(sequences)]

    def add(self, *, commands: int = 1) -> Numbered:
        """One more, which isn't submitted yet."""
        number = len(self.jobs) + 1
        lines = _LINES[number % len(_LINES)]
        code = -9 if number % 7 == 0 else number % 100
        job = Numbered(self._directory, number, lines=lines, code=code, commands=commands)
        self.jobs.append(job)
        return job

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for job in self.jobs:
            job.close()

    def submit(self, service: Service) -> None:
        """Those that weren't, each on a connection of its own, so that all workers have some."""
        for job in self.jobs:
            if not job.id:
                job.id = service.submit(job.submission(), Connection="close")

    def turn(self) -> None:
        for job in self.jobs:
            job.turn()

    def finish(self, service: Service) -> None:
        """One more turn, the end, and all that must hold then."""
        self.turn()
        self.end()
        for job in self.jobs:
            job.check(service)

    def end(self) -> None:
        for job in self.jobs:
            job.end_all()


class Reader(threading.Thread):
    """Attached to a job, from where `received` ends; `was_cut` says how it ended."""

    def __init__(self, service: Service, job: Numbered, received: bytes = b"") -> None:
        super().__init__(daemon=True)
        self.job = job
        self.received = bytearray(received)
        self.was_cut: bool | None = None
        self._more = threading.Condition()
        while (status := self._request(service)) == HTTPStatus.SERVICE_UNAVAILABLE:
            self._connection.close()  # a worker that stops: another one takes the next
        assert status == HTTPStatus.OK, self._answer.read()
        self.start()

    def _request(self, service: Service) -> int:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=_FUSE_S)
        self._connection.request("GET", f"/{self.job.id}/attach?offset={len(self.received)}")
        assert self._connection.sock is not None
        ends = self._connection.sock
        self._ports = ends.getpeername()[1], ends.getsockname()[1]
        self._answer = self._connection.getresponse()
        return self._answer.status

    def is_served_by(self, worker: int) -> bool:
        """Whether this process has the other end of its connection.

        Source: proc(5), /proc/net/tcp: address:port in hex, and the inode of the socket.
        """
        there, here = self._ports
        end = rf"^\s*\d+: \w+:{there:04X} \w+:{here:04X} (?:\S+\s+){{6}}(\d+)"
        found = re.search(end, Path("/proc/net/tcp").read_text(), re.MULTILINE)
        assert found is not None
        link = f"socket:[{found[1]}]"
        return link in descriptors(worker).values()

    def run(self) -> None:
        try:
            while data := self._answer.read1(1 << 18):
                with self._more:
                    self.received += data
                    self._more.notify_all()
            self.was_cut = False
        except (http.client.IncompleteRead, OSError):
            self.was_cut = True
        finally:
            self._answer.close()
            self._connection.close()

    def wait_for_bytes(self, count: int = 1) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.received) >= count, _FUSE_S)

    def wait_ended(self) -> Self:
        self.join(_FUSE_S)
        assert not self.is_alive(), f"the reader of {self.job.id} goes on"
        return self

    def resume(self, service: Service) -> Reader:
        """Another one, which goes on where this one was cut."""
        assert self.wait_ended().was_cut
        return Reader(service, self.job, bytes(self.received))

    def check(self) -> None:
        """It saw the end, and every byte."""
        assert self.wait_ended().was_cut is False
        assert bytes(self.received) == self.job.written()

"""The far end of flows of the client, without I/O: a job's output, and where connections break."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from service.client.retrying import Policy
from service.client.steps import Emit, Failure, Flow, Head, Open, Pause, Read, Request

T = TypeVar("T")


class Clock:
    """Time goes on where a flow pauses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def policy(clock: Clock, timeout_s: float = 10.0) -> Policy:
    return Policy(url="http://service", timeout_s=timeout_s, clock=clock, jitter=lambda: 1.0)


Reply = tuple[int, dict[str, str], list[bytes | Failure]] | Failure
"""Status, headers and what reads give; a clean end follows."""


def drive(flow: Flow[T, Any], respond: Callable[[Request], Reply], clock: Clock) -> list[T]:
    """What the flow emits when each request is answered by `respond`. A result comes last."""
    emitted: list[T] = []
    reads: Iterator[bytes | Failure] = iter(())
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            return emitted if end.value is None else [*emitted, end.value]
        answer = None
        match step:
            case Emit(item):
                emitted.append(item)
            case Pause(seconds):
                clock.pause(seconds)
            case Read():
                answer = next(reads, b"")
            case Open(request):
                reply = respond(request)
                if isinstance(reply, Failure):
                    answer = reply
                else:
                    status, headers, parts = reply
                    if status < 300:
                        headers = {"Content-Type": request.media or "", **headers}
                    answer, reads = Head(status, headers), iter(parts)


def problem(status: int, code: str, **members: Any) -> Reply:
    headers = {"Retry-After": str(members.pop("retry_after"))} if "retry_after" in members else {}
    body = {"type": f"urn:jobrunner:problem:{code}", "title": "", "status": status, **members}
    return status, headers, [json.dumps({"detail": "told", **body}).encode()]


# Bytes of a record; of those that have an odd number command 1 wrote, else command 0.
PIECE = 7


class Output:
    """The output of a job, which grows by `step` bytes with each request until it is whole.

    `begins`: where each response began. Of selections it knows `tail`, `command` and `limit`.
    """

    def __init__(self, data: bytes, step: int, fragment: int) -> None:
        self.data, self.step, self.fragment = data, step, fragment
        self.there = 0
        self.requests: list[Request] = []
        self.begins: list[int] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        query = dict(request.query)
        offset = int(query.get("offset", 0))
        self.there = min(len(self.data), max(self.there, offset) + self.step)
        assert 0 <= offset <= self.there
        if "tail" in query:
            assert "offset" not in query
            lines = self.data[: self.there].splitlines(keepends=True)
            offset = self.there - len(b"".join(lines[max(0, len(lines) - int(query["tail"])) :]))
        self.begins.append(offset)
        headers = {"Jobrunner-Offset": str(offset)}
        if ("Accept", "application/octet-stream") in request.headers:
            headers["Content-Length"] = str(self.there - offset)
            if self.there == len(self.data):
                headers |= {"Jobrunner-State": "exited", "Jobrunner-Bytes": str(self.there)}
            return 200, headers, self._fragments(self.data[offset : self.there])
        return 200, headers, self._fragments(self._records(offset, query))

    def _records(self, offset: int, query: dict[str, str]) -> bytes:
        lines = []
        command, limit = query.get("command"), int(query.get("limit", len(self.data) + 1))
        assert limit > 0
        begin = offset
        while begin < self.there and limit:
            number = begin // PIECE
            piece = self.data[begin : min((number + 1) * PIECE, self.there)]
            if command not in (None, f"{number % 2}"):
                begin += len(piece)
                continue
            piece = piece[:limit]
            limit -= len(piece)
            record: dict[str, Any] = {"Type": "output", "Offset": begin, "End": begin + len(piece)}
            record |= {"Stream": "stdout", "Command": number % 2, "Time": "2026-01-01T00:00:00Z"}
            begin += len(piece)
            try:
                record["Text"] = piece.decode()
            except UnicodeDecodeError:
                record["Data"] = base64.b64encode(piece).decode()
            lines += [record, {"Type": "heartbeat", "Offset": 0, "Time": ""}]
        if self.there == len(self.data) or not limit:
            state = "exited" if self.there == len(self.data) else "running"
            lines.append(
                {"Type": "end", "State": state, "Reason": None, "ExitCode": 0, "Signal": None}
                | {"Bytes": self.there, "Stdout": self.there, "Stderr": 0, "SHA256": None}
            )
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def _fragments(self, data: bytes) -> list[bytes | Failure]:
        size = self.fragment
        return [data[i : i + size] for i in range(0, len(data), size)]


class Cutting:
    """In front of another: each response is cut after so many bytes, uncleanly or as if it were its
    end; when there are no cuts left they pass."""

    def __init__(self, behind: Callable[[Request], Reply], cuts: list[tuple[int, bool]]) -> None:
        self._behind, self._cuts = behind, iter(cuts)

    def __call__(self, request: Request) -> Reply:
        reply = self._behind(request)
        cut = next(self._cuts, None)
        if cut is None or isinstance(reply, Failure):
            return reply
        count, is_clean = cut
        status, headers, parts = reply
        kept: list[bytes | Failure] = []
        for part in parts:
            assert isinstance(part, bytes)
            kept.append(part[:count])
            count -= len(part)
            if count <= 0:
                break
        ending = [] if is_clean else [Failure("cut")]
        return status, headers, [part for part in kept if part] + ending

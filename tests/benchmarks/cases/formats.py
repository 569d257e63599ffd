"""Output as records, beside the same output as it is: what encoding costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from case import Case, Lab, Row, Setup, at_least
from running import running
from wire import BadAnswer, Line, request

_MB = 1e6
_LINE = "2026-01-31 12:00:00 INFO service.module handled request 12345 of 203.0.113.7 in 3.2 ms"


@contextmanager
def _replay(lab: Lab) -> Iterator[Setup]:
    with running(lab.directory / "formats", workers=1) as service, Line(service.port) as line:
        job_id = line.submit({"CommandLine": f"yes '{_LINE}' | head -c {lab.size_bytes}"})
        line.ask(request("GET", f"/{job_id}/wait"))

        def rate(parameters: str) -> float:
            """Of the output, whatever its length in that format."""
            started_s = time.monotonic()
            # Not attach, which waits for a reader of events to close the connection.
            got = line.open_stream(f"/{job_id}/output?{parameters}").count()
            if got < lab.size_bytes:
                raise BadAnswer(f"{got} bytes came, {lab.size_bytes} were written")
            return lab.size_bytes / (time.monotonic() - started_s) / _MB

        def plain() -> tuple[float, float]:
            # As attach sends it: the same way through the service.
            found = rate("gaps=mark")
            return found, found

        yield Setup(lambda: (rate("format=sse"), rate("format=ndjson")), plain)


CASES = (
    Case(
        "formats",
        "the output of a finished job, lines of text, to one reader of records",
        (
            Row("formats: sse", "MB/s", "text", at_least(0.3)),
            Row("formats: ndjson", "MB/s", "text", at_least(0.3)),
        ),
        _replay,
    ),
)

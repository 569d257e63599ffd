"""The service's log: a constant event name plus fields, through structlog to standard error.

Environment values, command lines and output are never logged, so tracebacks show no variables.

Records of Sanic and other libraries become such lines too (`service.web.library_logs`).

Unsafe characters are escaped in both formats, and lines that a caller can cause are rate-limited.
"""

from __future__ import annotations

import io
import logging
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

import structlog

from service.host.escaping import escaped, escaped_lines

# Fields of several lines, each of which is indented or names the error.
_MULTILINE: Final = frozenset({"exception", "stack"})
# Events that a caller can cause in a loop.
_CAUSED_BY_CALLERS: Final = frozenset(
    {"request_refused", "request_failed", "stream_cut", "audit_not_written"}
)
# Lines of one such event in a minute; a traceback has about 5 KiB.
_MAX_LINES: Final = 60
_MINUTE_S: Final = 60.0
# The event whose fields stand one below the other for people.
STARTED: Final = "service_ready"
_STARTED_FIELDS: Final = ("url", "version")  # beside it
_ALWAYS: Final = ("event", "level", "timestamp")


def configure(log_format: str) -> None:
    """`text` for people, `json` (one object a line) for machines."""
    structlog.configure(
        processors=[
            LineLimit(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info
            if log_format == "json"
            else structlog.processors.StackInfoRenderer(),
            *shown(log_format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Looked up for each line: standard error may be replaced, as a test runner does. One write
        # a line, its end included: where standard error isn't buffered (PYTHONUNBUFFERED), another
        # process could write between the two.
        logger_factory=lambda *_: structlog.WriteLogger(_Lines()),  # type: ignore[arg-type]  # a TextIO has more
        cache_logger_on_first_use=False,
    )


def shown(log_format: str) -> list[structlog.types.Processor]:
    """The last processors: they turn an event and its fields into the text of a line."""
    if log_format == "json":
        return [structlog.processors.JSONRenderer()]  # JSON has escapes of its own
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # The default shows the variables of every frame if `rich` is installed.
        exception_formatter=_traceback,
    )
    return [_escape, _in_lines, renderer]


class LineLimit:
    """Drops lines of events that callers cause too often. The next line of such an event has their
    number in `omitted`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: dict[str, tuple[float, int]] = {}  # event → its minute's start, lines in it

    def __call__(
        self, _logger: object, _method: str, line: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        """Raises: DropEvent."""
        event = line["event"]
        if event not in _CAUSED_BY_CALLERS:
            return line
        now = self._clock()
        began, count = self._minutes.get(event, (now, 0))
        if now - began >= _MINUTE_S:
            if count > _MAX_LINES:
                line["omitted"] = count - _MAX_LINES
            began, count = now, 0
        self._minutes[event] = began, count + 1
        if count >= _MAX_LINES:
            raise structlog.DropEvent
        return line


def _escape(
    _logger: object, _method: str, line: structlog.types.EventDict
) -> structlog.types.EventDict:
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = escaped_lines(value) if key in _MULTILINE else escaped(value)
    return line  # the renderer shows other values by their repr, which escapes


def _in_lines(
    _logger: object, _method: str, line: structlog.types.EventDict
) -> structlog.types.EventDict:
    if line["event"] == STARTED:
        names = [name for name in line if name not in (*_ALWAYS, *_STARTED_FIELDS)]
        width = max(map(len, names), default=0)
        line["stack"] = "\n".join(f"    {name:<{width}}  {line.pop(name)}" for name in names)
    return line


def _traceback(target: TextIO, error: structlog.typing.ExcInfo) -> None:
    target.write("\n" + _indented("".join(traceback.format_exception(*error))))


def _indented(text: str) -> str:
    """A traceback, indented: a line of an error message can't pass for a line of the log."""
    return textwrap.indent(escaped_lines(text.rstrip("\n")), "  ")


class _Lines(io.TextIOBase):
    """Standard error, except that a failed write (a full disk) is ignored: the service matters more
    than its log.
    """

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()

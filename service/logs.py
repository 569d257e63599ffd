"""The service's log: a constant event name plus fields, through structlog to standard error.

Environment values, command lines and output are never logged, so tracebacks show no variables.

In the format `json` records of Sanic and other libraries become such lines too: the event `log`
with their text in `message`. In `text` they keep Sanic's own format.

Unsafe characters are escaped in both formats, and lines that a caller can cause are rate-limited.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog

from service.host.escaping import escaped, escaped_lines

# Terminal colours, which Sanic writes into its messages. Source: ECMA-48, section 5.4.
_CONTROL: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Fields of several lines, each of which is indented or names the error.
_MULTILINE: Final = frozenset({"exception", "stack"})
# Events that a caller can cause in a loop.
_CAUSED_BY_CALLERS: Final = frozenset(
    {"request_refused", "request_failed", "stream_cut", "audit_not_written"}
)
# Lines of one such event in a minute; a traceback has about 5 KiB.
_MAX_LINES: Final = 60
_MINUTE_S: Final = 60.0
# Loggers whose messages contain text of requests. All other messages are Sanic's own, with colours.
_REQUEST_LOGGERS: Final = ("sanic.error", "asyncio")
_SANIC_LOGGERS: Final = ("root", "error", "access", "server", "websockets")


def configure(log_format: str) -> None:
    """`text` for people, `json` (one object a line) for machines."""
    renderer: structlog.types.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default shows the variables of every frame if `rich` is installed.
            exception_formatter=_traceback,
        )
        for name in _REQUEST_LOGGERS:
            logging.getLogger(name).addFilter(_escape_record)
    structlog.configure(
        processors=[
            LineLimit(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info
            if log_format == "json"
            else structlog.processors.StackInfoRenderer(),
            *(() if log_format == "json" else (_escape,)),  # JSON has escapes of its own
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Looked up for each line: standard error may be replaced, as a test runner does. One write
        # a line, its end included: where standard error isn't buffered (PYTHONUNBUFFERED), another
        # process could write between the two.
        logger_factory=lambda *_: structlog.WriteLogger(_Lines()),  # type: ignore[arg-type]  # a TextIO has more
        cache_logger_on_first_use=False,
    )


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


def _traceback(target: TextIO, error: structlog.typing.ExcInfo) -> None:
    target.write("\n" + _indented("".join(traceback.format_exception(*error))))


def _indented(text: str) -> str:
    """A traceback, indented: a line of an error message can't pass for a line of the log."""
    return textwrap.indent(escaped_lines(text.rstrip("\n")), "  ")


def _escape_record(record: logging.LogRecord) -> bool:
    """A filter for what Sanic and asyncio log about requests, in the format `text`."""
    record.msg, record.args = escaped(record.getMessage()), ()
    if record.exc_info:
        record.exc_text = _indented("".join(traceback.format_exception(*record.exc_info)))
    return True


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


def of_libraries(log_format: str) -> dict[str, Any] | None:
    """The configuration of Python's `logging` that Sanic applies; None: Sanic's default."""
    if log_format != "json":
        return None
    loggers = {f"sanic.{name}": {"level": "INFO", "propagate": True} for name in _SANIC_LOGGERS}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": loggers,
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


class JsonFormatter(logging.Formatter):
    """A record of Python's `logging` as one JSON object, with the keys of the service's lines."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": "log",
            "logger": record.name,
            "message": _CONTROL.sub("", record.getMessage()),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)

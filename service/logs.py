"""Log lines of the service: a constant event name plus fields, through structlog to stderr.

Never in a line: environment values, command lines, output. So tracebacks show no variables.

In the format `json` what Sanic and the libraries log becomes such lines too: the event `log`, with
their words in `message`. In `text` they keep Sanic's own form.

Unsafe characters are escaped in both formats, and lines that a caller can cause are bounded.
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

# What colours a terminal: Sanic writes some into its messages. Source: ECMA-48, section 5.4.
_CONTROL: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# What has lines of its own, each of which is indented or names the error.
_OF_LINES: Final = frozenset({"exception", "stack"})
# Events that a caller can cause in a loop.
_OF_CALLERS: Final = frozenset(
    {"request_refused", "request_failed", "stream_cut", "audit_not_written"}
)
# Lines of one such event in a minute; a traceback has about 5 KiB.
_MAX_LINES: Final = 60
_MINUTE_S: Final = 60.0
# Loggers whose messages have text of requests; those of the others are Sanic's own, with colours.
_OF_REQUESTS: Final = ("sanic.error", "asyncio")
_OF_SANIC: Final = ("root", "error", "access", "server", "websockets")


def configure(log_format: str) -> None:
    """`text` for people, `json` (one object a line) for machines."""
    renderer: structlog.types.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # Its default, where `rich` is installed, shows the variables of every frame.
            exception_formatter=_traceback,
        )
        for name in _OF_REQUESTS:
            logging.getLogger(name).addFilter(_escape_record)
    structlog.configure(
        processors=[
            Bound(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info
            if log_format == "json"
            else structlog.processors.StackInfoRenderer(),
            *(() if log_format == "json" else (_escape,)),  # JSON has escapes of its own
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Asked at each line: what standard error is may change, as it does under a test runner.
        logger_factory=lambda *_: structlog.PrintLogger(_Lines()),  # type: ignore[arg-type]  # a TextIO has more
        cache_logger_on_first_use=False,
    )


class Bound:
    """Drops the lines of callers' events that come too often. The next line of such an event says
    how many were `omitted`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: dict[str, tuple[float, int]] = {}  # event → its minute's start, lines in it

    def __call__(
        self, _logger: object, _method: str, line: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        """Raises: DropEvent."""
        event = line["event"]
        if event not in _OF_CALLERS:
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
            line[key] = escaped_lines(value) if key in _OF_LINES else escaped(value)
    return line  # of anything else the renderer shows the repr, which escapes


def _traceback(target: TextIO, error: structlog.typing.ExcInfo) -> None:
    target.write("\n" + _indented("".join(traceback.format_exception(*error))))


def _indented(text: str) -> str:
    """A traceback, no line of which can be taken for one of the log: a message may have lines."""
    return textwrap.indent(escaped_lines(text.rstrip("\n")), "  ")


def _escape_record(record: logging.LogRecord) -> bool:
    """The filter for what Sanic and asyncio log of requests and connections, in `text`."""
    record.msg, record.args = escaped(record.getMessage()), ()
    if record.exc_info:
        record.exc_text = _indented("".join(traceback.format_exception(*record.exc_info)))
    return True


class _Lines(io.TextIOBase):
    """Standard error, for lines that are worth less than what they tell of: a full disk takes none,
    and whoever was about to write one goes on.
    """

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def of_libraries(log_format: str) -> dict[str, Any] | None:
    """How Python's own `logging` is configured, by Sanic; None: as Sanic does by default."""
    if log_format != "json":
        return None
    loggers = {f"sanic.{name}": {"level": "INFO", "propagate": True} for name in _OF_SANIC}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": loggers,
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


class JsonFormatter(logging.Formatter):
    """A record of Python's `logging` as one object a line, with the keys of our own lines."""

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

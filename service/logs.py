"""Log lines of the service: a constant event name plus fields, through structlog to stderr.

Never in a line: environment values, command lines, output. So tracebacks show no variables.

In the format `json` what Sanic and the libraries log becomes such lines too: the event `log`, with
their words in `message`. In `text` they keep Sanic's own form.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

# What colours a terminal: Sanic writes some into its messages. Source: ECMA-48, section 5.4.
_CONTROL: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
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
            exception_formatter=structlog.dev.plain_traceback,
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info
            if log_format == "json"
            else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Asked at each line: what standard error is may change, as it does under a test runner.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


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
        return msgspec.json.encode(line).decode()

"""What Sanic and other libraries log, in the service's own format, on standard error.

What Sanic says of its processes becomes events with names of their own; every other record is the
event `log`, with its text in `message`. Sanic's banner and its advice are dropped: `service_ready`
says what matters.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any, Final

from service.logs import shown

# Terminal colours, which Sanic writes into its messages. Source: ECMA-48, section 5.4.
_CONTROL: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SANIC_LOGGERS: Final = ("root", "error", "access", "server", "websockets")
# Sanic's messages, and the events that they become. The number is a pid.
_EVENTS: Final = (
    (re.compile(r"Starting worker \[(\d+)\]"), "worker_starting"),
    (re.compile(r"Worker ready \[(\d+)\]"), "worker_ready"),
    (re.compile(r"Stopping worker \[(\d+)\]"), "worker_stopping"),
    (re.compile(r"Worker complete \[(\d+)\]"), "worker_stopped"),
)
# Said by the service itself, in other words, or of no use to an operator.
_DROPPED: Final = re.compile(
    r"Sanic is running in PRODUCTION mode|Experienced exception while trying to serve"
    r"|Server Stopped|Received signal \w+\. Shutting down|Shutdown interrupted|Killing Sanic-"
)


def of_libraries(log_format: str) -> dict[str, Any]:
    """The configuration of Python's `logging` that Sanic applies."""
    loggers = {f"sanic.{name}": {"level": "INFO", "propagate": True} for name in _SANIC_LOGGERS}
    stderr = {"class": "logging.StreamHandler", "formatter": "line", "filters": ["kept"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter, "log_format": log_format}},
        "filters": {"kept": {"()": lambda: _is_kept}},
        "handlers": {"stderr": stderr},
        "loggers": loggers,
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def _is_kept(record: logging.LogRecord) -> bool:
    return _DROPPED.search(record.getMessage()) is None


class LineFormatter(logging.Formatter):
    """A record of Python's `logging` as a line like those of the service."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self._is_json = log_format == "json"
        self._processors = shown(log_format)

    def format(self, record: logging.LogRecord) -> str:
        line: Any = self._event(record)
        line["level"] = record.levelname.lower()
        line["timestamp"] = (
            datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        )
        if record.exc_info and self._is_json:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_info:
            line["exc_info"] = record.exc_info
        for processor in self._processors:
            line = processor(None, record.levelname.lower(), line)
        return str(line)

    def _event(self, record: logging.LogRecord) -> dict[str, Any]:
        message = _CONTROL.sub("", record.getMessage())
        if record.name.startswith("sanic."):
            for pattern, event in _EVENTS:
                if (found := pattern.fullmatch(message)) is not None:
                    return {"event": event, "pid": int(found[1])}
        return {"event": "log", "logger": record.name, "message": message}

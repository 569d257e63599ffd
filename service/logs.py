"""Log lines of the service: a constant event name plus fields, through structlog to stderr.

Never in a line: environment values, command lines, output.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(log_format: str) -> None:
    """`text` for people, `json` (one object a line) for machines."""
    renderer: structlog.types.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
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

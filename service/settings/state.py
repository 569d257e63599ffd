"""Where records, output and the log go, and how long they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.settings.declaration import setting
from service.settings.readers import (
    absolute_path,
    bytes_or_percentage,
    integer,
    number,
    on_or_off,
    one_of,
)
from service.settings.values import Percentage


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    """Where records, output and the log go, and how long they are kept."""

    state_dir: Path = setting(
        absolute_path,
        "",
        "an absolute path",
        "records and output; default `$XDG_STATE_HOME/jobrunner`, else `~/.local/state/jobrunner`",
    )
    retain_age: float = setting(
        number(0, 10 * 365 * 86400),
        "0",
        "seconds from 0 (off) to 315360000",
        "seconds after which a finished job is cleaned; 0: off",
    )
    retain_jobs: int = setting(
        integer(0, 1_000_000_000),
        "0",
        "a whole number from 0 (off) to 1000000000",
        "finished jobs that are kept: beyond it the oldest are cleaned; 0: off",
    )
    retain_bytes: int | Percentage = setting(
        bytes_or_percentage,
        "10%",
        "a number of bytes (0: off), or a share of the file system from 1% to 100%",
        "bytes on the disk that the files of finished jobs may take: beyond it the oldest jobs are"
        " cleaned; `N%`: that share of the file system; 0: off",
    )
    key_retention: float = setting(
        number(0, 10 * 365 * 86400),
        "604800",
        "seconds from 0 (off) to 315360000",
        "seconds for which an `Idempotency-Key` is kept once its job is cleaned, so that a late"
        " repeat runs nothing again; 0: a key is kept as long as its job",
    )
    log_format: str = setting(
        one_of("text", "json"),
        "text",
        "'text' or 'json'",
        "how the service writes its log lines",
    )
    log_requests: bool = setting(
        on_or_off,
        "off",
        "'on' or 'off'",
        "whether each request is logged on its end; a line costs more than a short response does",
    )


def default_state_dir(environment: Mapping[str, str]) -> str:
    """Where the state is when no setting says. Source: XDG Base Directory Specification; a relative
    XDG_STATE_HOME is to be ignored.
    """
    home = environment.get("XDG_STATE_HOME", "")
    if home.startswith("/"):
        return f"{home}/jobrunner"
    return f"{environment.get('HOME') or '~'}/.local/state/jobrunner"

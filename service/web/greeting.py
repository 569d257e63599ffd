"""What an operator reads when the service serves: where, with what, for whom, and what to try."""

from __future__ import annotations

import os
import pwd
from typing import Any

import structlog

import service
from service.access import tokens
from service.logs import STARTED
from service.settings import OnShutdown, Settings

_log = structlog.get_logger("jobrunner.app")

_STOP = {
    OnShutdown.KILL: "ends the jobs that run",
    OnShutdown.LEAVE: "leaves the jobs running",
    OnShutdown.DRAIN: "waits for the jobs that run",
}


def greet(app: Any, settings: Settings) -> None:
    """Log the one event that says what matters of a start. `app` is Sanic's, and listens."""
    unix, url = _address(app)
    has_tokens = tokens.enabled(settings.state_dir)
    _log.info(
        STARTED,
        version=service.__version__,
        url=url if unix is None else f"unix:{unix}",
        state=str(settings.state_dir),
        callers=_callers(has_tokens=has_tokens, unix=unix),
        jobs=_jobs(settings),
        stop=f"Ctrl-C or TERM {_STOP[settings.shutdown]} (JOBRUNNER_SHUTDOWN={settings.shutdown})",
        **{"try": _request(url, unix, has_tokens=has_tokens)},
    )


def _address(app: Any) -> tuple[str | None, str]:
    """The path of its Unix socket, if it listens on one, and the URL."""
    options = app.state.server_info[0].settings
    scheme = "https" if app.state.ssl is not None else "http"
    if unix := options.get("unix"):
        return os.path.abspath(unix), f"{scheme}://localhost"
    host, port = options["host"], options["port"]
    if (sock := options.get("sock")) is not None:
        host, port, *_ = sock.getsockname()
    return None, f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _callers(*, has_tokens: bool, unix: str | None) -> str:
    if has_tokens:
        return "who has a token (jobrunner token list)"
    if unix is not None:
        return "who may open the socket; there are no tokens (jobrunner token create)"
    return "every user of this host, over loopback; there are no tokens (jobrunner token create)"


def _jobs(settings: Settings) -> str:
    where = "" if settings.sandbox == "off" else f", in a sandbox ({settings.sandbox})"
    if settings.run_as is not None:
        return f"run as {settings.run_as.name}{where}"
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    hint = "" if uid else "; JOBRUNNER_RUN_AS names another user"
    return f"run as {user}, like the service{where}{hint}"


def _request(url: str, unix: str | None, *, has_tokens: bool) -> str:
    parts = ["curl -s", f"{url}/", "-H 'Content-Type: application/json'"]
    if unix is not None:
        parts.insert(1, f"--unix-socket {unix}")
    if has_tokens:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    return " ".join([*parts, """-d '{"CommandLine": "echo hello"}'"""])

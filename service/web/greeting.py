"""What an operator reads when the service serves: where, with what, for whom, and what to try."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import Any, Final
from urllib.parse import quote

import structlog

import service
from service.access import tokens
from service.logs import STARTED
from service.settings import OnShutdown, Settings

_log = structlog.get_logger("jobrunner.app")

# Where clients look for the service unless they are told (`service.client.address`).
_DEFAULT_URL: Final = "http://127.0.0.1:8080"
_STOP = {
    OnShutdown.KILL: "ends the jobs that run",
    OnShutdown.LEAVE: "leaves the jobs running",
    OnShutdown.DRAIN: "waits for the jobs that run",
}


def greet(app: Any, settings: Settings) -> None:
    """Log the one event that says what matters of a start. `app` is Sanic's, and listens."""
    unix, url = _address(app)
    has_tokens = tokens.enabled(settings.state_dir)
    second = {} if settings.socket is None else {"socket": _unix_url(str(settings.socket))}
    _log.info(
        STARTED,
        version=service.__version__,
        url=url if unix is None else _unix_url(unix),
        **second,
        state=str(settings.state_dir),
        callers=_callers(has_tokens=has_tokens, unix=unix),
        jobs=_jobs(settings),
        stop=f"Ctrl-C or TERM {_STOP[settings.shutdown]} (JOBRUNNER_SHUTDOWN={settings.shutdown})",
        **{"try": _command(url, unix, has_tokens=has_tokens)},
        curl=_request(url, unix, has_tokens=has_tokens),
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


def _unix_url(path: str) -> str:
    return f"unix://{quote(path)}"


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


def _command(url: str, unix: str | None, *, has_tokens: bool) -> str:
    url = _here(url) if unix is None else _unix_url(unix)
    parts = [] if url == _DEFAULT_URL else [f"JOBRUNNER_URL={shlex.quote(url)}"]
    if has_tokens:
        parts.append("JOBRUNNER_TOKEN=$TOKEN")
    return " ".join([*parts, "jobrunner run -- echo hello"])


def _request(url: str, unix: str | None, *, has_tokens: bool) -> str:
    parts = ["curl -s", f"{_here(url)}/", "-H 'Content-Type: application/json'"]
    if unix is not None:
        parts.insert(1, f"--unix-socket {shlex.quote(unix)}")
    if has_tokens:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    return " ".join([*parts, """-d '{"CommandLine": "echo hello"}'"""])


def _here(url: str) -> str:
    """As this host calls a service that listens on all addresses."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")

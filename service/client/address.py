"""Where the service is, and with which token: from arguments, else from the environment."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

URL: Final = "JOBRUNNER_URL"
TOKEN: Final = "JOBRUNNER_TOKEN"  # noqa: S105 - a name
TOKEN_FILE: Final = "JOBRUNNER_TOKEN_FILE"  # noqa: S105 - a name
VARIABLES: Final = (URL, TOKEN, TOKEN_FILE)
DEFAULT_URL: Final = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where requests go.

    Attributes:
        url: as it was given.
        base: what the path of a request is put behind.
        socket: the Unix socket, if it is one.
        token: of the caller, if there is one.
    """

    url: str
    base: str
    socket: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def is_tls(self) -> bool:
        return self.base.startswith("https:")

    @property
    def is_local(self) -> bool:
        """It is reached without a network, so no proxy is asked for the way."""
        if self.socket is not None:
            return True
        host = urlsplit(self.base).hostname or ""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def address_of(
    url: str | None = None,
    token: str | None = None,
    environment: Mapping[str, str] = os.environ,  # noqa: TID251 - the client's own: the caller's shell
) -> Address:
    """The address. What isn't given comes from the environment; an empty token is none.

    >>> address_of("unix:///run/jobrunner/http.sock", environment={}).socket
    '/run/jobrunner/http.sock'
    >>> address_of(environment={"JOBRUNNER_URL": "https://build.example/jobs/"}).base
    'https://build.example/jobs'

    Raises: ValueError, for an URL of another form; OSError, for a file that can't be read.
    """
    url = url or environment.get(URL) or DEFAULT_URL
    token = _token(environment) if token is None else token or None
    parts = urlsplit(url)
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        path = unquote(parts.path)
        return Address(url=url, base="http://localhost", socket=path, token=token)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            "Expected an URL such as http://127.0.0.1:8080, https://host/prefix or"
            f" unix:///path/of/socket, got {url!r}."
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"Expected no password in the URL: a token is given by {TOKEN}.")
    return Address(url=url, base=url.rstrip("/"), token=token)


def _token(environment: Mapping[str, str]) -> str | None:
    if token := environment.get(TOKEN):
        return token
    if path := environment.get(TOKEN_FILE):
        return Path(path).read_text().strip() or None
    return None

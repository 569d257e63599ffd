"""Where the service is, and with which token: from arguments, else from the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

URL: Final = "JOBRUNNER_URL"
TOKEN: Final = "JOBRUNNER_TOKEN"  # noqa: S105 - a name
TOKEN_FILE: Final = "JOBRUNNER_TOKEN_FILE"  # noqa: S105 - a name
VARIABLES: Final = (URL, TOKEN, TOKEN_FILE)
DEFAULT_URL: Final = "http://127.0.0.1:8080"

# Visible ASCII: what a header takes, and all that a token is made of.
_TOKEN_TEXT: Final = re.compile("[!-~]+")


class Address(NamedTuple):
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
    token: str | None = None

    def __repr__(self) -> str:
        return f"Address(url={self.url!r}, base={self.base!r}, socket={self.socket!r})"

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
    if token is not None and not _TOKEN_TEXT.fullmatch(token):
        # It isn't shown: most of it may be a secret.
        raise ValueError(
            f"Expected a token of visible ASCII characters, in {TOKEN}, in the file of {TOKEN_FILE}"
            " or given otherwise; got one with others, such as blanks or newlines."
        )
    parts = _split(url)
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


def _split(url: str) -> SplitResult:
    """Raises: ValueError, for what no request can be sent to."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as exc:
        raise ValueError(f"Expected an URL such as {DEFAULT_URL}, got {url!r}: {exc}.") from exc
    if not url.isprintable():
        raise ValueError(f"Expected an URL such as {DEFAULT_URL}, got {url!r}.")
    return parts


def _token(environment: Mapping[str, str]) -> str | None:
    if token := environment.get(TOKEN):
        return token
    if path := environment.get(TOKEN_FILE):
        return Path(path).read_bytes().decode(errors="replace").strip() or None
    return None

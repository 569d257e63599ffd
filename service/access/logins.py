"""Logins to the page: a cookie in the place of a token, for browsers.

A browser keeps a cookie for itself, out of the reach of scripts, while a token would have to be
kept by one. The cookie is random and holds nothing; what is stored of it is a hash, beside the ID
and the hash of the token that it stands for. So a login is worth nothing without that token: it is
over when that is revoked or expires, when its own time is over, and when its user logs out.

They stand in one file, as the tokens do (`service.access.tokens`): what one worker does holds in
all of them, and after a restart.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from service.access import locked_file
from service.access.scopes import Principal
from service.access.tokens import TokenError, Tokens
from service.paths import StateDir

_COOKIE: Final = "jobrunner_login"
_PORT: Final = re.compile(r":([0-9]{1,5})\Z")
VERSION: Final = 1
_BYTES: Final = 32
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
# Logins of one token at a time; one more ends the oldest.
_MAX_OF_TOKEN: Final = 100
_NS: Final = 1_000_000_000


def cookie_name(host: str | None) -> str:
    """The name of the cookie where a request names this host. A browser sends a cookie to all ports
    of its host, so that of another service there would be replaced by one of the same name.
    """
    port = _PORT.search(host or "")
    return f"{_COOKIE}_{port[1]}" if port else _COOKIE


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a login. Times are nanoseconds since 1970."""

    hash: str
    token_id: str
    token_hash: str
    created_at: int
    expires_at: int


class _File(msgspec.Struct, frozen=True):
    version: int
    logins: tuple[Login, ...]


class Logins:
    """The logins of one state directory, as they are now; for one event loop."""

    def __init__(self, state_dir: Path, tokens: Tokens, lifetime_s: int) -> None:
        self._paths = StateDir(state_dir)
        self._path = str(self._paths.logins)
        self._tokens = tokens
        self._lifetime_s = lifetime_s
        self._seen: tuple[int, int, int] | None = None
        self._by_hash: dict[str, Login] = {}

    def principal_of(self, text: str) -> Principal | None:
        """Whom the cookie proves; None when it proves nobody. Raises: TokenError."""
        if not _TEXT.fullmatch(text):
            return None
        self._refresh()
        # By its hash: how long the look-up takes tells nothing about the text.
        login = self._by_hash.get(_hash(text))
        return None if login is None else self._principal(login)

    def is_still_valid(self, principal: Principal) -> bool:
        """Whether the login that let `principal` in, if any, is one now. Raises: TokenError."""
        if principal.login is None:
            return True
        self._refresh()
        login = self._by_hash.get(principal.login)
        return login is not None and self._principal(login) is not None

    async def create(self, principal: Principal) -> tuple[Principal, str]:
        """Log `principal` in, whom a token proved: who it is from now on, and the cookie's text,
        which is stored nowhere. Raises: TokenError.
        """
        token = self._tokens.token_of(principal)
        if token is None:
            raise TokenError("The token was revoked just now.")
        text, now = secrets.token_urlsafe(_BYTES), time.time_ns()
        login = Login(
            hash=_hash(text),
            token_id=token.id,
            token_hash=token.hash,
            created_at=now,
            expires_at=now + self._lifetime_s * _NS,
        )
        made = self._as_logged_in(principal, login)
        await self._change(lambda logins: _bounded([*logins, login], login.token_id))
        return made, text

    async def end(self, text: str) -> Principal | None:
        """Log out; whom the login proved, None when there was none. Raises: TokenError."""
        ended = _hash(text)
        found: list[Login] = []

        def without(logins: list[Login]) -> list[Login]:
            found.extend(login for login in logins if login.hash == ended)
            return [login for login in logins if login.hash != ended]

        await self._change(without)
        return self._principal(found[0]) if found else None

    def _principal(self, login: Login) -> Principal | None:
        if login.expires_at <= time.time_ns():
            return None
        principal = self._tokens.principal_with(login.token_id, login.token_hash)
        return None if principal is None else self._as_logged_in(principal, login)

    def _as_logged_in(self, principal: Principal, login: Login) -> Principal:
        ends = [at for at in (principal.expires_at, login.expires_at) if at is not None]
        return replace(principal, expires_at=min(ends), login=login.hash)

    async def _change(self, change: Callable[[list[Login]], list[Login]]) -> None:
        # In a thread: others may hold the lock, and the disk is waited for.
        await asyncio.to_thread(self._change_now, change)

    def _change_now(self, change: Callable[[list[Login]], list[Login]]) -> None:
        try:
            with locked_file.held(self._paths.logins_lock):
                now = time.time_ns()
                logins = [login for login in self._read() if login.expires_at > now]
                data = msgspec.json.encode(_File(VERSION, tuple(change(logins))))
                locked_file.replace(self._paths.logins, data)
        except OSError as exc:
            raise TokenError(f"The logins can't be written: {exc.strerror}.") from exc

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._seen, self._by_hash = None, {}
            return
        except OSError as exc:
            raise TokenError(f"The logins can't be read: {exc.strerror}.") from exc
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self._by_hash = {login.hash: login for login in self._read()}
            self._seen = seen

    def _read(self) -> Iterable[Login]:
        """Of a file that can't be understood none is left: who was logged in logs in again."""
        try:
            file = msgspec.json.decode(self._paths.logins.read_bytes(), type=_File)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return ()
        except OSError as exc:
            raise TokenError(f"The logins can't be read: {exc.strerror}.") from exc
        return file.logins if file.version == VERSION else ()


def _bounded(logins: list[Login], token_id: str) -> list[Login]:
    """Without the oldest ones of that token, if there are too many."""
    too_many = len([login for login in logins if login.token_id == token_id]) - _MAX_OF_TOKEN
    kept = []
    for login in logins:  # the oldest is the first
        if login.token_id == token_id and too_many > 0:
            too_many -= 1
        else:
            kept.append(login)
    return kept


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

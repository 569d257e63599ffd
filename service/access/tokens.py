"""Bearer tokens: made, kept as hashes, looked up, revoked.

They stand in one file of the state directory, which is replaced as a whole: a running service looks
with one stat(2) per request whether it is another one, so what `create` and `revoke` do holds from
the next request on, in every worker. A file without tokens closes the service to everybody; only
without the file it is open.

A token is `jr_<id>_<secret>` with a secret of 256 random bits. No salt and no slow hash is needed
against guessing that, and the look-up goes by the id, which is no secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from service.access import locked_file
from service.access.scopes import LOCAL_ADMIN, UNAUTHENTICATED, Principal, Scope
from service.jobs.ceilings import MAX_PRIORITY, Ceilings
from service.paths import StateDir

VERSION: Final = 1
# Bytes of randomness: the id only has to be unique, the secret can't be guessed.
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"jr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NS: Final = 1_000_000_000
# Compared with when no token has that id, so that the answer takes as long.
_NO_HASH: Final = "0" * 64


class TokenError(Exception):
    """What was asked of the tokens can't be done; the message is a sentence for the operator."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token. Times are nanoseconds since 1970; `expires_at` None: never. The
    ceilings are those of the jobs submitted with it; `max_priority` None: that of its scopes.
    """

    name: str
    principal: str
    id: str
    hash: str
    scopes: tuple[Scope, ...]
    created_at: int
    expires_at: int | None = None
    max_priority: int | None = None
    max_pending: int = 0
    max_running: int = 0

    @property
    def ceilings(self) -> Ceilings:
        priority = self.max_priority
        if priority is None:
            priority = MAX_PRIORITY if Scope.ADMIN in self.scopes else 0
        return Ceilings(priority, self.max_pending, self.max_running)

    def is_expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def as_principal(self) -> Principal:
        return Principal(
            self.principal,
            frozenset(self.scopes),
            self.name,
            self.ceilings,
            token_id=self.id,
            expires_at=self.expires_at,
        )


class _File(msgspec.Struct, frozen=True):
    version: int
    tokens: tuple[Token, ...]


class Tokens:
    """The tokens of one state directory, as they are now; for one thread."""

    def __init__(self, state_dir: Path) -> None:
        self._path = str(StateDir(state_dir).tokens)
        self._seen: tuple[int, int, int] | None = None
        self._by_id: dict[str, Token] = {}
        self._by_name: dict[str, Token] = {}
        self._principals: dict[str, Principal] = {}  # by the token's ID

    @property
    def required(self) -> bool:
        """Whether a caller needs one. Raises: TokenError, when the file can't be read: then nobody
        may call.
        """
        self._refresh()
        return self._seen is not None

    def principal_of(self, text: str) -> Principal | None:
        """Whom the token `text` proves; None when it is none, is revoked or has expired."""
        self._refresh()
        match = _TOKEN.fullmatch(text)
        token = self._by_id.get(match[1]) if match else None
        known = token.hash if token is not None else _NO_HASH
        is_right = hmac.compare_digest(_hash(text), known)
        if token is None or not is_right or token.is_expired(time.time_ns()):
            return None
        return self._principals[token.id]

    def principal_named(self, name: str) -> Principal | None:
        """The principal of the token with that name, whose holder proved it by other means."""
        self._refresh()
        token = self._by_name.get(name)
        if token is None or token.is_expired(time.time_ns()):
            return None
        return self._principals[token.id]

    def token_of(self, principal: Principal) -> Token | None:
        """The token that proved it, while it is good."""
        self._refresh()
        token = self._by_id.get(principal.token_id or "")
        return None if token is None or token.is_expired(time.time_ns()) else token

    def principal_with(self, token_id: str, token_hash: str) -> Principal | None:
        """The principal of that token, while it is good and none other has its ID."""
        self._refresh()
        token = self._by_id.get(token_id)
        if token is None or token.hash != token_hash or token.is_expired(time.time_ns()):
            return None
        return self._principals[token_id]

    def is_still_valid(self, principal: Principal) -> bool:
        """Whether what let `principal` in lets it in now, for the same. Raises: TokenError."""
        self._refresh()
        if principal is UNAUTHENTICATED:
            return True
        if principal is LOCAL_ADMIN:
            return self._seen is None
        token = self._by_id.get(principal.token_id or "")
        if token is None or token.is_expired(time.time_ns()):
            return False
        return self._principals[token.id] == principal

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._seen = None
            self._by_id, self._by_name, self._principals = {}, {}, {}
            return
        except OSError as exc:
            raise _unreadable(self._path, exc) from exc
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            tokens = _read(Path(self._path))
            self._by_id = {token.id: token for token in tokens}
            self._by_name = {token.name: token for token in tokens}
            self._principals = {token.id: token.as_principal() for token in tokens}
            self._seen = seen


def enabled(state_dir: Path) -> bool:
    """Whether the service asks for tokens."""
    return StateDir(state_dir).tokens.exists()


def list_tokens(state_dir: Path) -> list[Token]:
    """Every token that wasn't revoked, oldest first. Raises: TokenError."""
    path = StateDir(state_dir).tokens
    return sorted(_read(path), key=lambda token: token.created_at) if path.exists() else []


def create(
    state_dir: Path,
    name: str,
    scopes: Iterable[Scope],
    *,
    principal: str | None = None,
    lifetime_s: int | None = None,
    max_priority: int | None = None,
    max_pending: int = 0,
    max_running: int = 0,
) -> tuple[Token, str]:
    """A new token, and its text, which is stored nowhere. `principal`: whose it is, by default of
    one with the token's own name; `lifetime_s` None: it doesn't expire; the ceilings as in `Token`.

    Raises: TokenError.
    """
    principal = principal or name
    for what, given in (("name", name), ("principal", principal)):
        if not _NAME.fullmatch(given):
            raise TokenError(
                f"The {what} {given[:80]!r} can't be used; expected 1 to 64 letters, digits and"
                " '._@-', the first a letter or a digit."
            )
    token_id = secrets.token_hex(_ID_BYTES)
    text = f"jr_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    now = time.time_ns()
    token = Token(
        name=name,
        principal=principal,
        id=token_id,
        hash=_hash(text),
        scopes=tuple(sorted(set(scopes), key=list(Scope).index)),
        created_at=now,
        expires_at=None if lifetime_s is None else now + lifetime_s * _NS,
        max_priority=max_priority,
        max_pending=max_pending,
        max_running=max_running,
    )
    with _held(state_dir):
        tokens = list_tokens(state_dir)
        if any(other.name == name for other in tokens):
            raise TokenError(f"There is a token {name!r} already; revoke it first.")
        _write(state_dir, [*tokens, token])
    return token, text


def revoke(state_dir: Path, name: str) -> Token:
    """Forget a token. Raises: TokenError, when there is none of that name."""
    with _held(state_dir):
        tokens = list_tokens(state_dir)
        revoked = next((token for token in tokens if token.name == name), None)
        if revoked is None:
            raise TokenError(f"There is no token {name!r}.")
        _write(state_dir, [token for token in tokens if token is not revoked])
    return revoked


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _read(path: Path) -> tuple[Token, ...]:
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise TokenError(f"The tokens in {path} can't be read: {exc}.") from exc
    if file.version != VERSION:
        raise TokenError(
            f"The tokens in {path} have version {file.version}, this release knows {VERSION}."
        )
    return file.tokens


def _write(state_dir: Path, tokens: list[Token]) -> None:
    path = StateDir(state_dir).tokens
    data = msgspec.json.format(msgspec.json.encode(_File(VERSION, tuple(tokens))), indent=1)
    try:
        locked_file.replace(path, data)
    except OSError as exc:
        raise TokenError(f"The tokens can't be written to {path}: {exc.strerror}.") from exc


@contextmanager
def _held(state_dir: Path) -> Iterator[None]:
    """One change at a time."""
    with ExitStack() as lock:
        try:
            lock.enter_context(locked_file.held(StateDir(state_dir).tokens_lock))
        except OSError as exc:
            raise _unreadable(state_dir, exc) from exc
        yield


def _unreadable(path: Path | str, error: OSError) -> TokenError:
    return TokenError(f"The tokens in {path} can't be read: {error.strerror}.")

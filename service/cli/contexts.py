"""Services that `jobrunner login` has stored, each with its token, by a name: the contexts.

They are a file of this user alone. A change takes a lock and replaces the file in one step, so that
two logins at once lose nothing, and a reader sees the contexts before or after it. A file that
others may read, or that isn't this user's, is refused: its tokens would be theirs.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec

from service.host.escaping import escaped

# What completes to one word in each shell, and is no option.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
# Others hold the lock for a moment.
_LOCK_S: Final = 10.0
_OF_OTHERS: Final = 0o077


class ContextError(click.ClickException):
    """The contexts can't be used, or there is none of that name."""


class ContextName(click.ParamType[str]):
    """The name of one. A shell completes it."""

    name = "name"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        del ctx, param
        with suppress(ContextError):
            known = sorted(read(path_of()).contexts.items())
            words = ((name, context.url) for name, context in known)
            made: list[click.shell_completion.CompletionItem[str]]
            made = import_module("service.cli.completing").beginning(words, incomplete)
            return made
        return []


CONTEXT: Final = ContextName()


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service: its URL, the caller's token and a CA's certificate, if it has one of its own."""

    url: str
    token: str | None = None
    ca: str | None = None

    def __repr__(self) -> str:
        return f"Context({self.url!r})"


class Contexts(msgspec.Struct, frozen=True, kw_only=True):
    """All of them by name, and the name of the current one."""

    current: str | None = None
    contexts: dict[str, Context] = {}

    def named(self, name: str) -> Context:
        """Raises: ContextError."""
        if (found := self.contexts.get(name)) is None:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise ContextError(f"There is no context {name!r}; known: {known}.")
        return found


def path_of(
    environment: Mapping[str, str] = os.environ,  # noqa: TID251 - where this user's files are
) -> Path:
    """Their file. Source: XDG Base Directory Specification; a relative path is ignored.

    >>> path_of({"XDG_CONFIG_HOME": "/home/ann/.config"})
    PosixPath('/home/ann/.config/jobrunner/contexts.json')
    """
    configured = environment.get("XDG_CONFIG_HOME", "")
    home = Path(configured) if os.path.isabs(configured) else Path("~/.config").expanduser()
    return home / "jobrunner" / "contexts.json"


def read(path: Path) -> Contexts:
    """Those there are. Raises: ContextError."""
    try:
        with path.open("rb") as file:
            if (wrong := _fault(os.fstat(file.fileno()))) is not None:
                raise ContextError(f"The file {path} {wrong}.")
            return msgspec.json.decode(file.read(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except OSError as exc:
        raise ContextError(f"The contexts in {path} can't be read: {exc.strerror}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ContextError(f"The file {path} has no contexts as `login` writes them: {exc}") from (
            exc
        )


def _fault(found: os.stat_result) -> str | None:
    """What `read` refuses. Root's own files are as good as this user's."""
    if found.st_uid not in (os.geteuid(), 0):
        return f"belongs to user {found.st_uid}, and this is user {os.geteuid()}"
    if found.st_mode & _OF_OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        return f"has tokens, and other users may use it (mode {mode:03o}): `chmod 600` it"
    return None


def change(path: Path, changed: Callable[[Contexts], Contexts]) -> Contexts:
    """Store what `changed` makes of the contexts that there are then. Raises: ContextError."""
    locks = import_module("service.host.locks")  # what every command reads is never locked
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        descriptor = locks.open_lock(path.with_suffix(".lock"))
        try:
            if not locks.lock_within(descriptor, _LOCK_S):
                raise ContextError(f"Another process has locked {path.with_suffix('.lock')}.")
            made = changed(read(path))
            # A link stays one: some keep their files elsewhere.
            _replace(Path(os.path.realpath(path)), made)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise ContextError(f"The contexts can't be written to {path}: {exc.strerror}.") from exc
    return made


def _replace(path: Path, contexts: Contexts) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(new, flags, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(contexts), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def checked_name(name: str) -> str:
    """Raises: ContextError."""
    if not _NAME.fullmatch(name):
        raise ContextError(
            "Expected a name of at most 64 letters, digits and '._-' that begins with none of '.-',"
            f" got {escaped(repr(name))}."
        )
    return name


def name_for(url: str) -> str:
    """What a context is called unless somebody says how.

    >>> name_for("https://build.example.org"), name_for("http://127.0.0.1:8080/jobs/")
    ('build.example.org', '127.0.0.1-8080-jobs')
    >>> name_for("unix:///run/jobrunner/http.sock")
    'run-jobrunner-http.sock'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return re.sub("[^A-Za-z0-9._]+", "-", f"{host}{parts.path}").strip("-.")[:64] or "service"

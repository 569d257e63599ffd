"""The static files, found by the hash of all of them: `/static/<hash>/list/page.js`.

One hash stands for the whole tree, so a module imports its neighbours by relative paths, and a
response may be kept for ever: another release has other URLs. In the wheel each file has its
compressed variants beside it, made when that was built; in a work tree there are none, and files
may change at any time, so nothing is remembered there.

Nothing is read before the first page is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

DIRECTORY: Final = Path(__file__).with_name("static")
# Hexadecimal digits: enough to tell releases apart; nobody gains by a collision.
_HASH_DIGITS: Final = 16
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
# Directories whose modules and style sheets a view is sure to load; others come when needed.
_DIRECTORIES: Final = {"list": ("", "list", "submit"), "job": ("", "job", "loading", "log")}
_LIBRARY: Final = "vendor/htm-preact.js"
# Names of content codings and what their files end with, the smallest first.
VARIANTS: Final = {"br": ".br", "gzip": ".gz"}


class Asset(msgspec.Struct, frozen=True):
    """The bytes of a file as they are sent. `coding`: its content coding, None: as it is."""

    body: bytes
    content_type: str
    coding: str | None
    is_current: bool


class Assets:
    """The files below `directory`; for one thread at a time."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        self._hash: str | None = None
        self._bodies: dict[str, bytes] = {}
        self._of_view: dict[str, tuple[list[str], list[str]]] = {}
        self._is_built: bool | None = None

    def hash(self) -> str:
        """What stands for the whole tree in URLs."""
        if self._hash is not None and self._built():
            return self._hash
        digest = hashlib.sha256()
        for path in files(self._directory):
            data = path.read_bytes()
            name = path.relative_to(self._directory).as_posix()
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
        self._hash = digest.hexdigest()[:_HASH_DIGITS]
        return self._hash

    def of_view(self, view: str) -> tuple[list[str], list[str]]:
        """The names of the style sheets and of the modules that a view is sure to load; without
        the module that it begins with.
        """
        if (known := self._of_view.get(view)) is not None:
            return known
        directories = _DIRECTORIES.get(view, ())
        sheets = self._names((*directories, ""), "*.css")
        modules = [name for name in self._names(directories, "*.js") if name != "main.js"]
        if modules:
            modules.append(_LIBRARY)
        if self._built():
            self._of_view[view] = sheets, modules
        return sheets, modules

    def _names(self, directories: Iterable[str], pattern: str) -> list[str]:
        found = {
            path.relative_to(self._directory).as_posix()
            for directory in directories
            for path in (self._directory / directory).glob(pattern)
        }
        # The common style sheet first: those of a view refine it.
        return sorted(found, key=lambda name: (name.count("/"), name))

    def find(self, tree: str, name: str, codings: frozenset[str]) -> Asset | None:
        """The file of that name, in the first of the `codings` that it has; None: there is none.

        `tree`: the hash that was asked for. A page of another release gets the file too, and must
        not keep it.
        """
        path = self._directory / name
        content_type = _TYPES.get(path.suffix)
        if content_type is None or any(part in ("", ".", "..") for part in name.split("/")):
            return None
        is_current = tree == self.hash()
        for coding, suffix in VARIANTS.items():
            if coding in codings and (body := self._read(name + suffix)) is not None:
                return Asset(body, content_type, coding, is_current)
        body = self._read(name)
        return None if body is None else Asset(body, content_type, None, is_current)

    def _built(self) -> bool:
        if self._is_built is None:
            self._is_built = (self._directory / "main.js.gz").exists()
        return self._is_built

    def _read(self, name: str) -> bytes | None:
        if (known := self._bodies.get(name)) is not None:
            return known
        try:
            body = (self._directory / name).read_bytes()
        except (OSError, ValueError):  # a name with a NUL, of a directory, or too long
            return None
        if self._built():
            self._bodies[name] = body
        return body


def files(directory: Path = DIRECTORY) -> Iterator[Path]:
    """Those that are served, in a fixed order, without their compressed variants."""
    for path in sorted(directory.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            yield path


def accepted_codings(accept_encoding: str) -> frozenset[str]:
    """The codings that the header names and doesn't refuse. Source: RFC 9110, section 12.5.3."""
    found = set()
    for text in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in text.split(";"))
        if not any(p.replace(" ", "").rstrip("0").rstrip(".") in ("q=0", "q=") for p in parameters):
            found.add(coding)
    return frozenset(found)

"""Names of files between bytes, as the kernel has them, and text, as URLs and JSON do.

A path is bytes: any but NUL, and `/` between names. In a URL it is percent-encoded (RFC 3986),
which is exact for all of them. As text for people, bytes that aren't UTF-8 become U+FFFD.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

# Bytes of a path, its NUL included, and of one name. Source: PATH_MAX, NAME_MAX, limits.h.
MAX_PATH_BYTES: Final = 4096
MAX_NAME_BYTES: Final = 255


def decoded(text: str) -> bytes:
    """The path that stands in a URL, perhaps with a slash at its end."""
    return unquote_to_bytes(text)


def encoded(path: bytes) -> str:
    """The path as it stands in a URL, with its slashes."""
    return quote_from_bytes(path)


def shown(path: bytes) -> str:
    """The path for people."""
    return path.decode(errors="replace")


def wrong_in_path(path: bytes) -> str | None:
    """What is wrong with a path in a job's directory, as a sentence that begins with what was
    expected; None when nothing is.
    """
    if not path:
        return "expected a path, got an empty one"
    if b"\0" in path:
        return "expected a path without NUL"
    if path.startswith(b"/"):
        return "expected a path relative to the job's directory, got an absolute one"
    if len(path) >= MAX_PATH_BYTES:
        return f"expected a path of less than {MAX_PATH_BYTES} bytes, got {len(path)}"
    for name in path.split(b"/"):
        if name in (b"", b".", b".."):
            return f"expected a path without empty names, '.' and '..', got {name.decode()!r} in it"
        if len(name) > MAX_NAME_BYTES:
            return f"expected names of at most {MAX_NAME_BYTES} bytes, got one of {len(name)}"
    return None

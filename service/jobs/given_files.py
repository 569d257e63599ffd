"""Files that a submission brings along: small ones, which are in the job's directory before its
first command runs.

Bounds: the supervisor writes them in one callback of its loop, so they are few and small. Larger
ones are uploaded to a job that is held.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec

from service.errors import FieldError, pointer_step, quoted
from service.files.names import wrong_in_path
from service.jobs.fields import also

MAX_FILES: Final = 1000
# Bytes of all files of a submission: as many as a whole body has by default.
MAX_FILES_BYTES: Final = 4 << 20
DEFAULT_MODE: Final = 0o644
_MODE: Final = "^0?[0-7]{3}$"
# A relative path without `.`, `..` and empty names.
_PATH: Final = "^(?!\\.{1,2}(/|$))[^/\\u0000]+(/(?!\\.{1,2}(/|$))[^/\\u0000]+)*$"


class GivenFile(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename="pascal",
    forbid_unknown_fields=True,
):
    """One file: its content as text, which is written in UTF-8, or in base64; and its mode in octal
    digits, 0644 when not given.
    """

    text: str | None = None
    base64: Annotated[str, also(contentEncoding="base64")] | None = None
    mode: Annotated[str, msgspec.Meta(pattern=_MODE)] | None = None

    @property
    def data(self) -> bytes:
        """Raises: ValueError, when it is no base64."""
        if self.text is not None:
            return self.text.encode()
        return b64decode(self.base64 or "", validate=True)

    @property
    def mode_bits(self) -> int:
        """The mode as a number."""
        return DEFAULT_MODE if self.mode is None else int(self.mode, 8)


_NAMES: Final = also(maxProperties=MAX_FILES, propertyNames={"pattern": _PATH})
Files = Annotated[dict[str, GivenFile], _NAMES]
# As a merge patch has them: null removes one.
FilesPatch = Annotated[dict[str, GivenFile | None], _NAMES]


def errors_in_files(files: Mapping[str, GivenFile]) -> Iterator[FieldError]:
    """What is wrong with the files beyond the types of their fields."""
    total = 0
    for path, given in files.items():
        pointer = f"/Files/{pointer_step(path)}"
        if (wrong := _wrong_path(path)) is not None:
            yield FieldError(pointer, wrong)
        if (given.text is None) is (given.base64 is None):
            got = "neither" if given.text is None else "both"
            yield FieldError(pointer, f"expected exactly one of Text and Base64, got {got}")
            continue
        try:
            total += len(given.data)
        except (binascii.Error, ValueError):
            yield FieldError(f"{pointer}/Base64", "expected base64, got other characters")
    if total > MAX_FILES_BYTES:
        expected = f"expected at most {MAX_FILES_BYTES} bytes in all"
        yield FieldError("/Files", f"{expected}, got {total}: upload larger ones to a held job")
    for path in files:
        above = path.rpartition("/")[0]
        while above:
            if above in files:
                detail = f"expected no file at {quoted(above)}, which is a directory of this path"
                yield FieldError(f"/Files/{pointer_step(path)}", detail)
            above = above.rpartition("/")[0]


def _wrong_path(path: str) -> str | None:
    try:
        return wrong_in_path(path.encode())
    except UnicodeEncodeError:
        return "expected a path that UTF-8 can encode"


def as_sent(files: Mapping[str, GivenFile]) -> list[dict[str, Any]]:
    """The files as the supervisor is told of them."""
    return [
        {
            "path": path,
            "data": binascii.b2a_base64(given.data, newline=False).decode(),
            "mode": given.mode_bits,
        }
        for path, given in files.items()
    ]

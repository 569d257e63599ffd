"""Keys by name, as what a terminal sends for them."""

from __future__ import annotations

from typing import Final

# Source: xterm's ctlseqs, PC-style function keys in their normal mode.
_NAMED: Final = {
    "Enter": b"\r",
    "Tab": b"\t",
    "Escape": b"\x1b",
    "Backspace": b"\x7f",
    "Up": b"\x1b[A",
    "Down": b"\x1b[B",
    "Right": b"\x1b[C",
    "Left": b"\x1b[D",
    "Home": b"\x1b[H",
    "End": b"\x1b[F",
    "Delete": b"\x1b[3~",
    "PageUp": b"\x1b[5~",
    "PageDown": b"\x1b[6~",
}
PATTERN: Final = rf"^(C-[a-z\\]|{'|'.join(_NAMED)})$"
"""Of the names; `C-c` is Ctrl with c."""


def bytes_of(key: str) -> bytes:
    r"""What is sent for a key of that name.

    >>> bytes_of("C-c"), bytes_of("C-\\"), bytes_of("Up")
    (b'\x03', b'\x1c', b'\x1b[A')
    """
    if (found := _NAMED.get(key)) is not None:
        return found
    return bytes([ord(key[-1].upper()) & 0x1F])

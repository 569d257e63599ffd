"""The keys that leave a job: found among what is typed, without I/O.

The first ones of a sequence are held back until the next key tells whether it is one. Source:
`docker attach`, `--detach-keys`.
"""

from __future__ import annotations

from typing import Final

DEFAULT: Final = "ctrl-p,ctrl-q"
_MAX_KEYS: Final = 8
_CONTROL: Final = "ctrl-"
_CONTROLLED: Final = "abcdefghijklmnopqrstuvwxyz@[\\]^_"


def parsed(text: str) -> bytes:
    r"""The bytes of keys as they are written: `ctrl-` and one of `a-z@[\]^_`, or a character;
    empty: none leave. Raises: ValueError.

    >>> parsed("ctrl-p,ctrl-q"), parsed("ctrl-],x"), parsed("")
    (b'\x10\x11', b'\x1dx', b'')
    """
    if not text:
        return b""
    keys = text.split(",")
    if len(keys) > _MAX_KEYS:
        raise ValueError(f"expected {_MAX_KEYS} keys at most, got {len(keys)}")
    return bytes(map(_key, keys))


def _key(text: str) -> int:
    if len(text) == 1 and text.isascii() and text.isprintable():
        return ord(text)
    name = text.lower().removeprefix(_CONTROL)
    if text.lower().startswith(_CONTROL) and len(name) == 1 and name in _CONTROLLED:
        return ord(name.upper()) & 0x1F
    raise ValueError(
        "expected keys such as 'ctrl-p,ctrl-q': each a character, or ctrl- and one of"
        f" a-z @ [ \\ ] ^ _; got {text[:20]!r}"
    )


class DetachKeys:
    """Of one person who types."""

    def __init__(self, keys: bytes) -> None:
        """Empty `keys`: nothing leaves."""
        self._keys = keys
        self._held = 0  # how many of the keys were typed

    def typed(self, data: bytes) -> tuple[bytes, bool]:
        """What of it is for the job, and whether the keys that leave were typed; what comes behind
        them is for nobody.
        """
        if not self._keys:
            return data, False
        passed = bytearray()
        for key in data:
            self._held, begun = self._after(key)
            passed += begun
            if self._held == len(self._keys):
                return bytes(passed), True
        return bytes(passed), False

    def _after(self, key: int) -> tuple[int, bytes]:
        """How many are held with this key, and what was none of them after all."""
        typed = self._keys[: self._held] + bytes([key])
        for begin in range(len(typed)):
            if self._keys.startswith(typed[begin:]):
                return len(typed) - begin, typed[:begin]
        return 0, typed

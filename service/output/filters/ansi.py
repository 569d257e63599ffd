"""Takes the escape sequences out of output: CSI (colours), OSC (titles, links), DCS and the other
strings, character sets, shifts, and the same as single bytes of 8 bits (C1).

1. A byte from 0x80 to 0x9F is a control only where it is no part of a valid UTF-8 sequence.
2. The end of a line ends each sequence, and stays: a torn one costs a line, not the rest of a log.
   So does ESC, which begins the next one. What can't belong to a sequence ends it, and stays.
3. BEL ends every string, also those where the standard wants ST. CAN and SUB end any sequence.

Source: ECMA-48, 5th edition, 5.3 to 5.6; the state machine of https://vt100.net/emu/dec_ansi_parser
for what is no sequence.
"""

from __future__ import annotations

import re
from typing import Final

from service.output.filters.filter import TextDecoder, encoded

__all__ = ["ERASURES", "StripAnsi"]

# Bytes of 8 bits that stand alone, as `surrogateescape` decodes them.
_C1: Final = "\udc80-\udc9f"
_CSI: Final = "(?:\x1b\\[|\udc9b)"
_STRING: Final = "(?:\x1b[\\]PX^_]|[\udc90\udc98\udc9d-\udc9f])"
_IN_CSI: Final = "[ -?]*"
_IN_STRING: Final = f"[^\x07\x18\x1a\x1b\n{_C1}]*"

_CSI_REST: Final = f"{_IN_CSI}[@-~\x18\x1a]?"
_STRING_REST: Final = f"{_IN_STRING}[\x07\x18\x1a\udc9c]?"
_ESC_REST: Final = rf"(?:\[{_CSI_REST}|[\]PX^_]{_STRING_REST}|[ -/]+[0-~\x18\x1a]?|[0-~\x18\x1a]?)"
_BUT_ERASURES: Final = r"(?!\[[012]?K)"
_EIGHT_BIT: Final = f"|\udc9b{_CSI_REST}|[\udc90\udc98\udc9d-\udc9f]{_STRING_REST}|[{_C1}]"

ERASURES: Final = re.compile(r"\x1b\[[012]?K")
"""What `keeps_erasures` leaves of the sequences."""

# What begins with one certain character is searched for ten times as fast.
_SEQUENCES: Final = re.compile(f"\x1b{_ESC_REST}")
_SEQUENCES_BUT_ERASURES: Final = re.compile(f"\x1b{_BUT_ERASURES}{_ESC_REST}")
_ALL: Final = re.compile(f"\x1b{_ESC_REST}{_EIGHT_BIT}")
_ALL_BUT_ERASURES: Final = re.compile(f"\x1b{_BUT_ERASURES}{_ESC_REST}{_EIGHT_BIT}")
_LONE_C1: Final = re.compile(f"[{_C1}]")
_OPEN: Final = re.compile(
    rf"(?P<csi>{_CSI}{_IN_CSI})\Z"
    rf"|(?P<string>{_STRING}{_IN_STRING})\Z"
    r"|\x1b(?P<intermediate>[ -/]*)\Z"
)
_INTRODUCERS: Final = "\x1b\udc90\udc98\udc9b\udc9d\udc9e\udc9f"


class StripAnsi:
    """Takes them out. `keeps_erasures`: but leaves those that erase in a line and begin with ESC,
    for one who has to know what was left of it.
    """

    __slots__ = ("_all", "_decoder", "_open", "_sequences")

    def __init__(self, *, keeps_erasures: bool = False) -> None:
        self._sequences = _SEQUENCES_BUT_ERASURES if keeps_erasures else _SEQUENCES
        self._all = _ALL_BUT_ERASURES if keeps_erasures else _ALL
        self._decoder = TextDecoder()
        self._open = ""  # the beginning of a sequence; a shorter one that is continued alike

    def feed(self, data: bytes) -> bytes:
        """What is known of the result, once `data` has come."""
        if not self._open and self._decoder.is_between and _is_plain(data):
            return data
        return self._strip(self._decoder.decode(data), is_last=False)

    def finish(self) -> bytes:
        """The rest of it."""
        return self._strip(self._decoder.decode(b"", is_last=True), is_last=True)

    def _strip(self, text: str, *, is_last: bool) -> bytes:
        text, self._open = self._open + text, ""
        if not is_last:
            place = max(map(text.rfind, _INTRODUCERS))
            if place >= 0 and (found := _OPEN.match(text, place)):
                self._open = self._shortened(found)
                text = text[:place]
        has_c1 = not text.isascii() and _LONE_C1.search(text)
        text = (self._all if has_c1 else self._sequences).sub("", text)
        return encoded(text.replace("\x0e", "").replace("\x0f", ""))

    def _shortened(self, found: re.Match[str]) -> str:
        if found["csi"]:
            # One parameter is enough to tell an erasure from all others.
            known = ("\x1b[", "\x1b[0", "\x1b[1", "\x1b[2")
            return found[0] if found[0] in known else "\x1b[;"
        if found["string"]:
            return "\x1b]"
        return "\x1b " if found["intermediate"] else "\x1b"


def _is_plain(data: bytes) -> bool:
    """Whether there is no escape sequence in it, nor a part of a UTF-8 sequence at its end."""
    if b"\x1b" in data or b"\x0e" in data or b"\x0f" in data:
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Times before lines, whatever pieces the lines come in."""

from __future__ import annotations


class Stamps:
    """Of one log, whose streams are lines of their own."""

    def __init__(self) -> None:
        self._inside: set[str] = set()

    def stamped(self, stream: str, time: str, data: bytes) -> bytes:
        r"""`data`, which came at `time`, with that before each line that begins in it.

        >>> stamps = Stamps()
        >>> stamps.stamped("stdout", "T1", b"a\nb"), stamps.stamped("stdout", "T2", b"c\n")
        (b'T1 a\nT1 b', b'c\n')
        """
        stamp = f"{time} ".encode()
        ends = data.endswith(b"\n")
        text = (data[:-1] if ends else data).replace(b"\n", b"\n" + stamp)
        if stream not in self._inside:
            text = stamp + text
        if ends:
            self._inside.discard(stream)
            return text + b"\n"
        self._inside.add(stream)
        return text

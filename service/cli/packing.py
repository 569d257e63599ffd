"""Tar made of a directory here, and unpacked into one, while it moves."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final, cast

from service.cli.notes import note

_PIECE_BYTES: Final = 256 << 10


class Pieces:
    """What reads pieces as a file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (piece := next(self._pieces, None)) is not None:
            self._left += piece
        data, self._left = self._left[:size], self._left[size:]
        return data

    def drain(self) -> None:
        """To the end, which tells whether all has come."""
        for _ in self._pieces:
            pass


def packed(directory: str) -> Iterator[bytes]:
    """What is in the directory, as tar. Raises: OSError, when something can't be read."""
    out, into = os.pipe()
    failed: list[Exception] = []

    def pack() -> None:
        try:
            with (
                open(into, "wb") as pipe,
                tarfile.open(fileobj=pipe, mode="w|", format=tarfile.GNU_FORMAT) as archive,
            ):
                for name in sorted(os.listdir(directory)):
                    archive.add(os.path.join(directory, name), name, filter=_taken)
        except Exception as exc:  # noqa: BLE001 - raised again by whoever reads
            failed.append(exc)

    packing = threading.Thread(target=pack, daemon=True)
    packing.start()
    with open(out, "rb") as pipe:
        while piece := pipe.read(_PIECE_BYTES):
            yield piece
    packing.join()
    if failed:
        raise failed[0]


def unpack(pieces: Iterable[bytes], directory: str, renamed: Callable[[str], str] = str) -> None:
    """Unpack tar into a directory, which is there; nothing of it leads out.

    Raises: OSError; tarfile.TarError; what `pieces` raises.
    """
    stream = Pieces(pieces)
    with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|") as archive:
        for member in archive:
            member.name = renamed(member.name)
            archive.extract(member, directory, filter="data")
    stream.drain()


def _taken(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        note(f"{info.name} is neither a file, a directory nor a link: left out.")
        return None
    return info

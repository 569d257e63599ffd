"""A small file system of the run's own that can be filled, and emptied again."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Bytes: the jobs of a minute take a quarter of it.
_SIZE = 192 << 20
_CHUNK = bytes(1 << 20)


class Disk:
    """`path` is where it is mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no byte: chunks as long as they fit, then ever smaller ones."""
        with open(self._filler, "ab", buffering=0) as file:
            size = len(_CHUNK)
            while size:
                try:
                    size = size if file.write(_CHUNK[:size]) == size else size // 2
                except OSError as exc:
                    if exc.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)


@contextmanager
def mounted(directory: Path, kind: str) -> Iterator[Disk | None]:
    """A disk of that kind; `tmpfs` where a loop device can't be had, None where nothing can be
    mounted.
    """
    path = directory / "disk"
    path.mkdir()
    image = directory / "image"
    with suppress(OSError, subprocess.CalledProcessError):
        if kind == "ext4":
            with open(image, "wb") as file:
                file.truncate(_SIZE)
            _call("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
            _call("mount", "-o", "loop", str(image), str(path))
    if kind != "ext4" or not path.is_mount():
        with suppress(OSError, subprocess.CalledProcessError):
            _call("mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "tmpfs", str(path))
    if not path.is_mount():
        yield None
        return
    try:
        yield Disk(path)
    finally:
        # Lazily: what a run left behind may hold it, and ends with the run's namespace.
        _call("umount", "--lazy", str(path))


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)

"""Where the workers of one service count together: whichever is asked, it reads what all of them
have written.

Rules
1. Each worker writes files of its own, in a slot: the lowest number whose lock nobody holds. The
   kernel frees the lock of who dies, however it dies.
2. Who takes a slot goes on with the numbers that stand there. So a counter never falls when a
   worker is killed or reloaded, and there are never more files than workers at one time.
3. What a worker has open right now ends with it: such files are removed when a slot is taken, and
   by who reads them, while holding the slot's lock.

The files are those of prometheus_client's multiprocess mode, written through its own `MmapedDict`,
without the locks and the look at the process ID that its `MultiProcessValue` has for threads and
forks: half the cost. They lie in memory (/dev/shm) where there is some: a page of a disk may be
under way to it just when it is to be written, and the event loop would stand still. Their room is
allocated before: a page that can't be had later is no error but SIGBUS, the worker's death.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import mmap_dict, values

from service.paths import StateDir

_PREFIX: Final = "jobrunner-metrics-"
_MEMORY: Final = "/dev/shm"  # noqa: S108 - a private directory is made in it
# Bytes of each file, by what prometheus_client calls it. Histograms: each combination of method,
# route and status that can occur takes about 4 KB; those of eleven routes nearly fill one megabyte.
_SIZES: Final = {"counter": 64 << 10, "histogram": 4 << 20, "gauge_livesum": 64 << 10}
_LIVE_GAUGES: Final = "gauge_livesum"

_open: Any = mmap_dict.MmapedDict  # it isn't annotated


class NotShared(Exception):
    """There is nothing to share; the message says why."""


def prepare(state_dir: Path) -> None:
    """Make the directory of this service's counts, empty. Done once, by who holds `state_dir`, in
    which a link leads to it. When it can't be made there is none: counting stops no service.
    """
    remove(state_dir)
    for place in (_MEMORY, state_dir):
        with suppress(OSError):
            made = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
            StateDir(state_dir).metrics.symlink_to(made)
            return


def remove(state_dir: Path) -> None:
    """Remove what `prepare` made, also for a service that was killed."""
    link = StateDir(state_dir).metrics
    with suppress(OSError):
        made = link.readlink()
        if made.name.startswith(_PREFIX):
            shutil.rmtree(made, ignore_errors=True)
        link.unlink()


class WorkerSlot:
    """One worker's place among the files; its own until it is closed, or this process ends."""

    def __init__(self, state_dir: Path) -> None:
        """Raises: NotShared."""
        try:
            self.directory = StateDir(state_dir).metrics.readlink()
            self._number, self._lock = _take(self.directory)
        except OSError as exc:
            raise NotShared(str(exc)) from exc
        try:
            self._path(_LIVE_GAUGES).unlink(missing_ok=True)
            for kind, size in _SIZES.items():
                _allocate(self._path(kind), size)
            self._files = {kind: _open(str(self._path(kind))) for kind in _SIZES}
        except (OSError, RuntimeError) as exc:  # RuntimeError: a file that is none of these
            os.close(self._lock)
            raise NotShared(str(exc)) from exc

    def close(self) -> None:
        """Leave the slot; what was counted stays."""
        for file in self._files.values():
            file.close()
        os.close(self._lock)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Series that are made meanwhile are written here."""
        before = values.ValueClass
        values.ValueClass = self._value
        try:
            yield
        finally:
            values.ValueClass = before

    def _value(self, kind: str, *names: Any, multiprocess_mode: str = "", **_more: Any) -> Value:
        file = f"{kind}_{multiprocess_mode}" if multiprocess_mode else kind
        return Value(self._files[file], mmap_dict.mmap_key(*names))

    def _path(self, kind: str) -> Path:
        return self.directory / f"{kind}_{self._number}.db"


class Value:
    """One number in a file. For one thread."""

    __slots__ = ("_file", "_key", "_value")

    def __init__(self, file: Any, key: str) -> None:
        self._file = file
        self._key = key
        self._value: float = file.read_value(key)[0]

    def inc(self, amount: float) -> None:
        self._value += amount
        self._file.write_value(self._key, self._value, 0.0)

    def get(self) -> float:
        return self._value

    def get_exemplar(self) -> None:
        """There are none across processes."""


def forget_dead(directory: Path) -> None:
    """Remove what ended together with the workers that had it open."""
    for path in directory.glob(f"{_LIVE_GAUGES}_*.db"):
        number = path.stem.rpartition("_")[2]
        with suppress(OSError):
            lock = _lock(directory / f"{number}.lock")
            try:
                path.unlink()
            finally:
                os.close(lock)


def _take(directory: Path) -> tuple[int, int]:
    for number in itertools.count():
        with suppress(BlockingIOError):
            return number, _lock(directory / f"{number}.lock")
    raise AssertionError  # it counts on


def _lock(path: Path) -> int:
    """Raises: BlockingIOError, when somebody has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _allocate(path: Path, size: int) -> None:
    """Make the file, unless there is one; who reads meanwhile sees none, or all of it."""
    if path.exists():
        return
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
    unfinished.rename(path)

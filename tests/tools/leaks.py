"""What a test must not leave behind in the process that runs it, and on the machine."""

from __future__ import annotations

import gc
import os
import select
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

# Seconds: a bound for processes that were told to end, and do so at once.
_ENDED_S = 300.0


def descriptors(pid: int | str = "self") -> dict[int, str]:
    """The open descriptors of a process, and what each is.

    What is closed between the listing and the look isn't among them.
    """
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # of this process: that of the listing, always
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def children() -> set[int]:
    """The children of this process. Source: proc(5), /proc/pid/task/tid/children."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError):  # a thread that has ended, or a kernel without that file
            found |= {
                int(pid) for pid in Path(f"/proc/self/task/{task}/children").read_text().split()
            }
    return found


@dataclass(frozen=True)
class Belongings:
    """What this process has at one moment."""

    descriptors: dict[int, str] = field(default_factory=dict)
    children: set[int] = field(default_factory=set)
    temporary: set[str] = field(default_factory=set)

    @classmethod
    def now(cls) -> Self:
        return cls(descriptors(), children(), set(os.listdir(tempfile.gettempdir())))

    def added(self, *, but_sockets: bool) -> list[str]:
        """What has come since, in words; `but_sockets`: a client that goes on may keep some."""
        now = Belongings.now()
        return [
            *(
                f"descriptor {number}: {name}"
                for number, name in now.descriptors.items()
                if name not in (self.descriptors.get(number), WIDER.descriptors.get(number))
                and not (but_sockets and name.startswith("socket:"))
            ),
            *(
                f"child process {_words(pid)}"
                for pid in now.children - self.children - WIDER.children
            ),
            *(
                f"temporary file {name}"
                for name in now.temporary - self.temporary - WIDER.temporary
            ),
        ]

    def assert_nothing_added(self, *, but_sockets: bool) -> None:
        if self.added(but_sockets=but_sockets):
            gc.collect()  # what only a traceback has kept is nobody's
            left = self.added(but_sockets=but_sockets)
            assert not left, left


WIDER = Belongings()
"""What a fixture that outlives the test has made: see `kept`."""


@contextmanager
def kept() -> Iterator[None]:
    """What is made within belongs to a fixture of a wider scope, whichever test came first to it."""
    before = Belongings.now()
    yield
    now = Belongings.now()
    WIDER.descriptors.update(now.descriptors.items() - before.descriptors.items())
    WIDER.children.update(now.children - before.children)
    WIDER.temporary.update(now.temporary - before.temporary)


def assert_no_process_of(directory: Path) -> None:
    """No process whose arguments or environment name something below `directory` goes on."""
    mark = os.fsencode(directory) + b"/"
    ours = _ancestors()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in ours:
            with suppress(OSError):
                descriptor = os.pidfd_open(int(name))
                try:
                    words = _words(int(name))
                    assert not _has_mark(name, mark) or _ends(descriptor), f"{words} goes on"
                finally:
                    os.close(descriptor)


def _has_mark(pid: str, mark: bytes) -> bool:
    return any(mark in Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "environ"))


def _ends(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(_ENDED_S * 1000))


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        # The name stands in parentheses and may hold anything. Source: proc(5), /proc/pid/stat.
        pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return found


def _words(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return f"{pid}: {words.decode(errors='replace')}"
    return str(pid)

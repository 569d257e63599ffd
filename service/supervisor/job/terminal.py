"""The terminal of one job: made with its first command, held until the job is over."""

from __future__ import annotations

import asyncio
import fcntl
from dataclasses import dataclass

from service.host.identity import Identity
from service.link.start import TerminalKeys
from service.supervisor.job.input import JobInput
from service.supervisor.process.terminal import Terminal


@dataclass(slots=True)
class JobTerminal:
    """As it is handed to the next image of this process, too. `master` is a descriptor; -1: there
    is no terminal. `rows` and `cols`: a size that it got before it was made; 0: none.
    """

    master: int = -1
    rows: int = 0
    cols: int = 0

    @property
    def terminal(self) -> Terminal | None:
        """None: the job has none, or none yet."""
        return Terminal(self.master) if self.master >= 0 else None

    def of_command(self, asked: TerminalKeys, user: Identity | None) -> Terminal:
        """That of the job, for its next command. Raises: OSError."""
        if (made := self.terminal) is None:
            made = Terminal.open(self.rows or asked["rows"], self.cols or asked["cols"], user)
            self.master = made.master
        return made

    def make_input(self, loop: asyncio.AbstractEventLoop) -> JobInput:
        """What is typed. Raises: OSError."""
        made = self.terminal
        assert made is not None  # noqa: S101 - a command was given it
        descriptor = fcntl.fcntl(made.master, fcntl.F_DUPFD_CLOEXEC, 0)
        return JobInput(loop, descriptor, at_end=made.end_of_input)

    def resize(self, rows: int, cols: int) -> None:
        """One that isn't made yet begins with that size."""
        if (made := self.terminal) is None:
            self.rows, self.cols = rows, cols
        else:
            made.resize(rows, cols)

    @property
    def foreground(self) -> int:
        """The process group in its foreground; 0: there is none."""
        return 0 if (made := self.terminal) is None else made.foreground

    def close(self) -> None:
        """Hang up: the job is over."""
        if (made := self.terminal) is not None:
            made.close()
            self.master = -1

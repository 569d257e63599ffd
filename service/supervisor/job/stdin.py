"""The standard input of one job: a pipe that callers write into, or its terminal. Each is made with
the first command that has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.link.start import Start
from service.supervisor.job.input import InputSnapshot, JobInput
from service.supervisor.job.terminal import JobTerminal
from service.supervisor.job.waiting import waits_for_input
from service.supervisor.job.workspace import job_user
from service.supervisor.process.refusal import Refused, sentence
from service.supervisor.process.terminal import Terminal


class Stdin:
    """`input` takes what is written or typed; None: there is none by now."""

    __slots__ = ("_loop", "_terminal", "input")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._terminal: JobTerminal | None = None
        self.input: JobInput | None = None

    def snapshot(self) -> tuple[InputSnapshot | None, JobTerminal | None]:
        """For the next image of this process. Changes nothing."""
        return self.input.snapshot() if self.input is not None else None, self._terminal

    def resume(self, snapshot: InputSnapshot | None, terminal: JobTerminal | None) -> None:
        """Go on with what an earlier image of this process had."""
        self._terminal = terminal
        if snapshot is not None:
            made = self._made
            at_end = made.end_of_input if made is not None else None
            self.input = JobInput.resume(self._loop, snapshot, at_end=at_end)

    @property
    def terminal(self) -> JobTerminal:
        """What there is of it; of a job that has none by now, none."""
        if self._terminal is None:
            self._terminal = JobTerminal()
        return self._terminal

    def make_pipe(self, request: Start) -> None:
        """For the first command that has one. Raises: Refused."""
        if self.input is not None or not request.get("stdin"):
            return
        try:
            self.input = JobInput.pipe(self._loop, job_user(request))
        except OSError as exc:
            raise Refused(sentence(exc, request["argv"][0], None)) from exc

    def terminal_of(self, request: Start) -> Terminal | None:
        """That of the job, if this command asks for it. Raises: OSError."""
        if (asked := request.get("terminal")) is None:
            return None
        made = self.terminal.of_command(asked, job_user(request))
        if self.input is None:
            self.input = self.terminal.make_input(self._loop)
        return made

    def spawned(self, request: Start) -> None:
        """This command has what it gets of it."""
        if self.input is not None and request["end_if"] == "always":
            self.input.close_reader()

    def waits(self, pids: Sequence[int]) -> bool | None:
        """Whether one of these processes of the job waits for it; None: nobody can tell."""
        if self.input is None:
            return None
        return waits_for_input(pids, self._made, self.input.pipe_id)

    def close(self) -> int | None:
        """The job is over. How much was taken; None: there was no input."""
        taken = self.input.close() if self.input is not None else None
        if self._terminal is not None:
            self._terminal.close()
        return taken

    @property
    def _made(self) -> Terminal | None:
        return self._terminal.terminal if self._terminal is not None else None

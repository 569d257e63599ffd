"""The output of one job: its log, and the pump that moves bytes from the pipes into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from service.files.job import job_files
from service.host.event_log import log_event
from service.output.pump import Pump
from service.output.writer import LogWriter
from service.supervisor.job.runtime import Runtime
from service.supervisor.process.spawn import Spawned

STDOUT: Final = 1
STDERR: Final = 2
# Descriptors of a log: its output and its index.
LOG_DESCRIPTORS: Final = 2
# Descriptors that a job takes while it starts: two pipes of two ends, and its log.
JOB_DESCRIPTORS: Final = 4 + LOG_DESCRIPTORS


@dataclass(slots=True, kw_only=True)
class LogSnapshot:
    """The output of a job as it is handed to the next image of this process, which inherits its
    descriptors. `files`: descriptors of the log; None: it has no files. `held`: bytes that were
    read from a source that can't be spliced, and not yet written. `pipes`: (descriptor, stream,
    command) of each pipe that hasn't ended. `quiet_since`: see `JobLog.quiet_since`.
    """

    files: tuple[int, int] | None = None
    held: bytes = b""
    pipes: list[tuple[int, int, int]] = field(default_factory=list)
    quiet_since: float = 0.0


class JobLog:
    """Has no log before the first command. `on_ended(stream, command)` is called for each stream
    that ends, `on_failed(error)` once when the log can't be written any more.
    """

    __slots__ = ("_began", "_job_id", "_log", "_on_ended", "_on_failed", "_pump", "_runtime")

    def __init__(
        self,
        runtime: Runtime,
        job_id: str,
        *,
        on_ended: Callable[[int, int], None],
        on_failed: Callable[[OSError], None],
    ) -> None:
        self._runtime = runtime
        self._job_id = job_id
        self._on_ended = on_ended
        self._on_failed = on_failed
        self._log: LogWriter | None = None
        self._pump: Pump | None = None
        self._began = 0.0  # the first command, or output that an earlier image has seen

    def open(self, *, limit: int) -> None:
        """Before a command; `limit`: bytes of output that are kept, 0: all. Raises: OSError."""
        if self._log is None:
            if limit:
                self._log = LogWriter.create(self._directory, limit=limit)
            else:
                self._log = LogWriter.on_demand(self._directory)
        if self._pump is None:
            self._pump = self._make_pump(self._log)

    @property
    def is_open(self) -> bool:
        return self._log is not None

    def add(self, spawned: Spawned, number: int) -> None:
        """Take over the pipes of a process of this command. The log was opened before. Raises:
        OSError, when the kernel can't watch them; they are closed then.
        """
        assert self._pump is not None  # noqa: S101 - see above
        pipes = {spawned.stdout: STDOUT}
        if spawned.stderr is not None:
            pipes[spawned.stderr] = STDERR
        try:
            for pipe, stream in pipes.items():
                self._pump.add(pipe, stream, number)
        except BaseException:
            for pipe in pipes:
                self._pump.remove(pipe)
            raise
        self._began = self._began or self._runtime.loop.time()

    def end_terminal(self) -> None:
        """Another command gets the terminal now: what comes from it is no output of the earlier one
        any more, which may have left a process that has it.
        """
        if self._pump is not None:
            for descriptor, _, _ in self._pump.pipes:
                if os.isatty(descriptor):
                    self._pump.end(descriptor)

    def drain(self) -> None:
        """Move what is in the pipes now."""
        if self._pump is not None:
            self._pump.drain_now()

    def make(self) -> None:
        """A reader wants the files, though no byte may have come. Raises: OSError."""
        if self._log is not None:
            self._log.make()

    def close(self, *, complete: bool) -> bool:
        """Whether the end could be written; where it couldn't it is retried."""
        if self._pump is not None:
            self._pump.close()
        if self._log is None:
            return True
        try:
            self._log.close(complete=complete)
        except OSError as exc:
            log_event("log_not_closed", level="error", job=self._job_id, error=str(exc))
            self._runtime.unclosed.add(self._log)
            return False
        return True

    @property
    def is_stalled(self) -> bool:
        """Whether the disk takes no bytes now."""
        return self._pump is not None and self._pump.stalled

    @property
    def end(self) -> int:
        """Bytes in the log."""
        return self._log.end if self._log is not None else 0

    @property
    def quiet_since(self) -> float:
        """When the last byte of output came, or the first command, by the loop's clock."""
        return max(self._began, self._log.last_output_s if self._log is not None else 0.0)

    @property
    def descriptors_to_come(self) -> int:
        """How many more it takes once there is output."""
        return LOG_DESCRIPTORS if self._log is not None and not self._log.is_made else 0

    def snapshot(self) -> LogSnapshot | None:
        if self._log is None:
            return None
        return LogSnapshot(
            files=self._log.descriptors,
            held=self._log.held,
            pipes=self._pump.pipes if self._pump is not None else [],
            quiet_since=self.quiet_since,
        )

    def resume(self, snapshot: LogSnapshot) -> None:
        """Go on with what an earlier image of this process had. Raises: OSError, when the disk
        fails: nothing that the job writes can be kept, and its pipes are closed.
        """
        self._began = snapshot.quiet_since
        try:
            if snapshot.files is not None:
                self._log = LogWriter.adopt(*snapshot.files, held=snapshot.held)
            else:  # no byte had come, and no reader
                self._log = LogWriter.on_demand(self._directory)
        except OSError:
            for descriptor, _, _ in snapshot.pipes:
                os.close(descriptor)
            raise
        self._pump = self._make_pump(self._log)
        for descriptor, stream, command in snapshot.pipes:
            self._pump.add(descriptor, stream, command)

    @property
    def _directory(self) -> str:
        return job_files(self._runtime.state_dir, self._job_id).log

    def _make_pump(self, log: LogWriter) -> Pump:
        return Pump(
            self._runtime.loop,
            log,
            self._on_ended,
            on_failed=self._on_failed,
            stalls=self._runtime.stalls,
        )

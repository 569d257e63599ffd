"""How far a log goes and what was dropped of it: counted, told to readers, freed on the disk.

A log that has a limit drops what is between its head and its tail (`retention_window`): first the
header tells of the gap, then the place on disk is freed. A writer that is killed in between leaves
a gap whose bytes are still there; a successor frees them. On kernels before 6.14, ext4 writes what
is freed to the disk first, so there a job beyond its limit makes others wait for that, a step at a
time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.output.index import NO_GAP, STDOUT, LogState
from service.output.retention_window import RetentionWindow

if TYPE_CHECKING:
    from service.output.log_files import LogFiles
    from service.output.run_records import RunRecords

__all__ = ["Extent"]


class Extent:
    """That of one log, for its writer.

    Attributes:
        files: those of the log; none once they are closed.
        chunk_bytes: the most that may be added at once.
        end: bytes in `output`, of both streams.
        stdout_end: bytes of standard output among them.
        gap: what was dropped.
    """

    __slots__ = (
        "_freed",
        "_owes_header",
        "_records",
        "_window",
        "chunk_bytes",
        "end",
        "files",
        "gap",
        "stdout_end",
    )

    def __init__(self, files: LogFiles, records: RunRecords, state: LogState) -> None:
        self.files = files
        self._records = records
        self._owes_header = False
        # Nothing is known of what an earlier writer has freed; of a closed log nothing is owed.
        self._freed = state.gap if state.closed else NO_GAP
        self._window = RetentionWindow(state.limit, state.gap, files.record)
        self.chunk_bytes = self._window.chunk_bytes
        self.end, self.stdout_end, self.gap = state.end, state.stdout_end, state.gap

    def made(self, files: LogFiles) -> None:
        """The files were made, with a header."""
        self.files = files
        self._window.record = files.record

    def state(self, *, closed: bool = False, complete: bool = False) -> LogState:
        """What the header says, or will say."""
        return LogState(self.end, self.stdout_end, closed, complete, self._window.limit, self.gap)

    def advance(self, count: int) -> None:
        """So many bytes were added, of the last record's run."""
        self.end += count
        if (last := self._records.last) is not None and last.stream == STDOUT:
            self.stdout_end += count
        self._owes_header = True
        window = self._window
        if self.end > window.end_due or self._records.count > window.records_due:
            self.gap = window.next_gap(self.gap, self.end, self._records.count)
            self.tell(self.state())
            self.free()
        else:
            self.tell(self.state())

    def tell(self, state: LogState) -> None:
        """Write the header."""
        self.files.write_header(state)
        self._owes_header = False

    def free(self) -> None:
        """Give the disk back what the gap takes up."""
        self.files.free(self.gap, self._freed)
        self._freed = self.gap

    def settle(self) -> None:
        """Finish what an earlier call could not."""
        if self._owes_header:
            self.tell(self.state())
        if self._freed != self.gap:
            self.free()

"""What a reader of output is told last: how the job stands, and how many bytes there were."""

from __future__ import annotations

from service.files.job import JobFiles
from service.jobs.record import JobRecord
from service.jobs.views import EndRecord
from service.output import digest
from service.output.index import STDERR, STDOUT, LogState


def end_record(record: JobRecord, log: LogState, sha256: str | None) -> EndRecord:
    """Of a job whose log goes so far; counts are those of the whole log, its digest is `sha256`."""
    return EndRecord(
        state=record.state.value,
        reason=record.reason.value if record.reason else None,
        exit_code=record.exit_code,
        signal=record.signal,
        bytes=log.size(),
        stdout=log.size(STDOUT),
        stderr=log.size(STDERR),
        sha256=sha256,
    )


def known_digest(files: JobFiles, log: LogState) -> str | None:
    """The digest of the log of a finished job, if it is known without reading that."""
    if not log.end:
        return digest.EMPTY
    return digest.kept(files.log) if log.closed and not log.gap.end else None

"""Errors about jobs and their output, and conditions in which none is accepted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

from service.errors.field import (
    MAX_DETAIL_CHARS,
    MAX_FIELD_ERRORS,
    MAX_POINTER_CHARS,
    FieldError,
    cut,
)
from service.errors.members import CHECKS, FIELD_ERRORS, INTEGER, RANGE, TEXT
from service.errors.tree import JobrunnerError


class MalformedBody(JobrunnerError):
    code, title, status = "malformed_body", "Malformed JSON", 400


class UnknownJob(JobrunnerError):
    code, title, status = "unknown_job", "Job not found", 404

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job with the ID {job_id[:80]!r}.")


class JobIsLive(JobrunnerError):
    code, title, status = "job_is_live", "Job is live", 409


class FilesLeft(JobrunnerError):
    """`path` is relative to the job's directory."""

    code, title, status = "files_left", "Files of the job can't be removed", 409
    members = (("path", TEXT), ("why", TEXT))

    def __init__(self, job_id: str, path: str, why: str) -> None:
        super().__init__(
            f"{path} of the job {job_id} can't be removed: {why}. The record is kept; clean the job"
            " again when that is mended."
        )
        self.path, self.why = path, why


class JobNotPending(JobrunnerError):
    code, title, status = "job_not_pending", "Job is not pending", 409

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"The job {job_id} is {state}; only a pending job has a place to change.")


class JobNotHeld(JobrunnerError):
    """There is nothing to release."""

    code, title, status = "job_not_held", "Job is not held", 409

    def __init__(self, job_id: str, why: str) -> None:
        super().__init__(
            f"The job {job_id} can't be released: {why}. Only a pending job with Hold waits for it."
        )


class SubmissionLost(JobrunnerError):
    """What was submitted can't be read: the record is damaged, or of another release."""

    code, title, status = "submission_lost", "The submission can't be read", 409

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"What was submitted as job {job_id} can't be read any more, so it can't be run again:"
            " its record is damaged, or of another release."
        )


class JobNotRunning(JobrunnerError):
    """There is no process that a signal could reach, yet or any more."""

    code, title, status = "job_not_running", "Job is not running", 409


class SignalNotPassedOn(JobrunnerError):
    code, title, status = "signal_not_passed_on", "Signal can't reach the command", 409

    def __init__(self, job_id: str, signal: str) -> None:
        super().__init__(
            f"{signal} can't reach the command that runs in the job {job_id}: Docker doesn't pass"
            " it on to the container. A kill (DELETE) ends it all the same."
        )


class NoInput(JobrunnerError):
    code, title, status = "no_input", "Job has no standard input", 409

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f'The job {job_id} has no standard input: it was submitted without "Stdin": true, and'
            " without a terminal."
        )


class InputOffset(JobrunnerError):
    """`offset` is where the input goes on: how much of it was taken."""

    code, title, status = "input_offset", "Input goes on at another offset", 409
    members = (("offset", INTEGER),)

    def __init__(self, job_id: str, offset: int) -> None:
        super().__init__(
            f"The standard input of the job {job_id} goes on at the offset {offset}: so many bytes"
            " were taken."
        )
        self.offset = offset


class InputClosed(JobrunnerError):
    """Nothing is taken any more, and `offset` bytes were."""

    code, title, status = "input_closed", "Standard input is closed", 409
    members = (("offset", INTEGER),)

    def __init__(self, job_id: str, offset: int) -> None:
        super().__init__(
            f"The standard input of the job {job_id} is closed, as it was ended, or the job has"
            f" ended or reads no more: {offset} bytes were taken."
        )
        self.offset = offset


class NoTerminal(JobrunnerError):
    code, title, status = "no_terminal", "Job has no terminal", 409

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The job {job_id} has no terminal: it was submitted without `TTY`.")


class NoForeground(JobrunnerError):
    code, title, status = "no_foreground", "Nothing is in the foreground", 409

    def __init__(self, job_id: str) -> None:
        super().__init__(f"No process is in the foreground of the terminal of the job {job_id}.")


class OutcomeUnknown(JobrunnerError):
    """What was asked for may have been done; to ask again may do it twice."""

    code, title, status = "outcome_unknown", "Outcome unknown", 504


class OffsetBeyondEnd(JobrunnerError):
    code, title, status = "offset_beyond_end", "Offset beyond the end of the output", 416
    members = (("end", INTEGER),)

    def __init__(self, offset: int, end: int) -> None:
        super().__init__(f"The offset {offset} is beyond the present end of the output, {end}.")
        self.end = end


class OffsetInGap(JobrunnerError):
    """The byte at the offset was dropped; `gap` is the range (from, to) of the dropped bytes."""

    code, title, status = "offset_in_gap", "Offset in a gap of the output", 416
    members = (("gap", RANGE), ("end", INTEGER))

    def __init__(self, offset: int, gap: tuple[int, int], end: int) -> None:
        super().__init__(
            f"The offset {offset} is in a gap: the bytes from {gap[0]} to {gap[1]} were dropped, as"
            f" the output went beyond its limit. It goes on at offset {gap[1]}."
        )
        self.gap = gap
        self.end = end


class InvalidJob(JobrunnerError):
    """The body is JSON, but not a valid job; `errors` are the first field errors."""

    code, title, status = "invalid_job", "Invalid job", 422
    members = (("errors", FIELD_ERRORS),)

    def __init__(self, errors: Iterable[FieldError]) -> None:
        """Takes no more of `errors` than are listed, and one."""
        found = [
            FieldError(cut(e.pointer, MAX_POINTER_CHARS), cut(e.detail, MAX_DETAIL_CHARS))
            for e in islice(errors, MAX_FIELD_ERRORS + 1)
        ]
        self.errors = found[:MAX_FIELD_ERRORS]
        detail = "; ".join(f"{e.pointer or '/'}: {e.detail}" for e in found[:3])
        if len(found) > MAX_FIELD_ERRORS:
            detail += f". There are more errors than the {MAX_FIELD_ERRORS} that are listed."
        super().__init__(detail)


def refuse_if_any(errors: Iterable[FieldError]) -> None:
    """Raises: InvalidJob, when there is an error; no more than are listed are looked for."""
    errors = iter(errors)
    for first in errors:
        raise InvalidJob(chain((first,), errors))


class IdempotencyKeyReused(JobrunnerError):
    code, title, status = "idempotency_key_reused", "Idempotency-Key used for another job", 422


class Unavailable(JobrunnerError):
    """A temporary condition; the caller may retry."""

    code, title, status = "unavailable", "Service unavailable", 503

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class RecordsLocked(Unavailable):
    """Another process holds the lock of the database; the same problem for a caller."""


class NotReady(JobrunnerError):
    """A job wouldn't be accepted now; `checks` are the failure messages by name, None: passed."""

    code, title, status = "not_ready", "Not ready", 503
    members = (("checks", CHECKS),)

    def __init__(self, checks: dict[str, str | None]) -> None:
        super().__init__(" ".join(why for why in checks.values() if why), retry_after_s=1)
        self.checks = checks


class InsufficientStorage(JobrunnerError):
    code, title, status = "no_room", "Insufficient storage", 507


class InternalError(JobrunnerError):
    """A fault of the service; its log has the traceback beside the `error_id`."""

    code, title, status = "internal_error", "Internal error", 500
    members = (("error_id", TEXT),)

    def __init__(self, error_id: str) -> None:
        super().__init__(
            f"Something broke in the service; its log has more under the error ID {error_id}."
        )
        self.error_id = error_id

"""What a reader is told last, as fields of HTTP."""

from __future__ import annotations

from service.api.end_fields import FIELDS, as_fields
from service.engine.end_record import end_record
from service.jobs.record import JobRecord
from service.jobs.states import Reason, State
from service.output.index import LogState


def record(**values):
    return JobRecord(seq=1, id="x", spec=b"", commands=(), created_at=1, **values)


def test_counts_are_those_of_the_log_and_what_is_null_has_no_field():
    end = end_record(record(state=State.EXITED, exit_code=0), LogState(10, 7, closed=True), None)
    assert as_fields(end) == {
        "Jobrunner-State": "exited",
        "Jobrunner-ExitCode": "0",
        "Jobrunner-Bytes": "10",
        "Jobrunner-Stdout": "7",
        "Jobrunner-Stderr": "3",
    }


def test_every_field_is_announced_and_ascii():
    killed = record(state=State.KILLED, reason=Reason.IDLE_TIMEOUT, exit_code=1, signal="SIGTERM")
    fields = as_fields(end_record(killed, LogState(), "0" * 64))
    assert tuple(fields) == FIELDS
    assert fields["Jobrunner-Reason"] == "idle-timeout"
    assert all(value.isascii() and value.isprintable() for value in fields.values())

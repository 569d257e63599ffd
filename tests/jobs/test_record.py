"""Records: values that survive their JSON, and signals by their names."""

import signal

import msgspec
import pytest

from service.jobs.record import CommandOutcome, JobRecord, Kill, signal_name
from service.jobs.states import Reason, State


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGTERM, "SIGTERM"),
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGRTMIN, "SIGRTMIN"),
        (signal.SIGRTMIN + 3, "SIGRTMIN+3"),
        (signal.SIGRTMAX, "SIGRTMAX"),
    ],
)
def test_a_signal_has_a_name(number, name):
    assert signal_name(number) == name


def test_every_signal_that_can_end_a_process_has_a_name():
    assert all(signal_name(number).startswith("SIG") for number in signal.valid_signals())


def test_a_record_is_a_value():
    record = JobRecord(id="a", created_at=1, spec=b"", commands=(CommandOutcome(),))
    with pytest.raises(AttributeError):
        record.state = State.RUNNING
    changed = msgspec.structs.replace(record, state=State.RUNNING)
    assert (record.state, changed.state) == (State.PENDING, State.RUNNING)


def test_outcomes_and_kills_survive_their_json():
    outcome = CommandOutcome(state=State.KILLED, signal="SIGTERM", started_at=1, finished_at=2)
    kill = Kill(reason=Reason.TIMEOUT, requested_at=3, signal="SIGTERM", grace_s=0.5, found=2)
    for value in (outcome, kill, CommandOutcome()):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_what_a_fresh_outcome_stores_is_small():
    assert msgspec.json.encode(CommandOutcome()) == b"{}"

"""Each change of a job is counted by who stored it, and once, whoever else stores it too."""

import contextlib

import pytest
from msgspec.structs import replace

from service.engine.record_writer import RecordWriter
from service.errors import Unavailable
from service.jobs.record import CommandOutcome, JobRecord, Kill, Usage
from service.jobs.states import Reason, State
from service.metrics.exposition import Stored, exposition
from service.metrics.series import Metrics
from service.store import Overtaken, Store

S = 1_000_000_000
KILL = Kill(reason=Reason.REQUESTED, requested_at=0, signal="SIGTERM", grace_s=1.0)


class Worker:
    def __init__(self, path):
        self.store = Store(path)
        self.metrics = Metrics()
        self.update = RecordWriter(self.store, self.metrics).update

    def __getitem__(self, series):
        stored = Stored(self.store.counts(), 0)
        lines = exposition(self.metrics, stored, "")[0].decode().splitlines()
        (number,) = [
            line.split(" ")[1] for line in lines if line.startswith(f"jobrunner_{series} ")
        ]
        return float(number)


@pytest.fixture
def workers(tmp_path):
    both = [Worker(tmp_path / "jobs.db") for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for worker in both:
            stack.callback(worker.store.close)
        yield both


@pytest.fixture
def pending(workers):
    record = JobRecord(id="a", created_at=1 * S, spec=b"{}", commands=(CommandOutcome(),))
    return workers[0].store.insert(record)


def running(record):
    return replace(record, state=State.RUNNING, started_at=3 * S)


def exited(record):
    return replace(record, state=State.EXITED, exit_code=0, finished_at=8 * S, output_bytes=10)


def test_a_job_is_counted_at_its_start_and_at_its_end(workers, pending):
    worker, _ = workers
    worker.update(running(pending))
    assert (worker["queue_wait_seconds_count"], worker["queue_wait_seconds_sum"]) == (1, 2)
    assert worker['jobs_finished_total{state="exited"}'] == 0
    assert worker['jobs{state="running"}'] == 1
    worker.update(replace(exited(running(pending)), revision=1))
    assert worker["queue_wait_seconds_count"] == 1
    assert worker['jobs_finished_total{state="exited"}'] == 1
    assert worker['job_duration_seconds_sum{state="exited"}'] == 5
    assert worker["output_bytes_total"] == 10
    assert (worker['jobs{state="running"}'], worker['jobs{state="exited"}']) == (0, 1)


def test_clock_that_steps_back_makes_no_sum_fall(workers, pending):
    worker, _ = workers
    began = replace(running(pending), started_at=0, waited_s=0.25)  # the wall clock was set back
    outcome = CommandOutcome(usage=Usage(lasted_s=2.5))
    worker.update(replace(exited(began), finished_at=0, commands=(outcome,)))
    assert worker["queue_wait_seconds_sum"] == 0.25
    assert worker['job_duration_seconds_sum{state="exited"}'] == 2.5


def test_job_that_nobody_timed_lasted_no_negative_time(workers, pending):
    worker, _ = workers
    worker.update(replace(exited(replace(running(pending), started_at=0)), finished_at=0))
    assert worker["queue_wait_seconds_sum"] == 0
    assert worker['job_duration_seconds_sum{state="exited"}'] == 0


def test_a_job_that_started_and_ended_at_once_is_counted_like_any(workers, pending):
    worker, _ = workers
    worker.update(exited(running(pending)))
    assert worker["queue_wait_seconds_count"] == 1
    assert worker['job_duration_seconds_count{state="exited"}'] == 1


def test_what_two_workers_store_is_counted_by_the_first(workers, pending):
    first, second = workers
    first.update(running(pending))
    with pytest.raises(Overtaken):
        second.update(running(pending))
    for worker in workers:
        worker.update(replace(exited(running(pending)), revision=1))
    for series in ("queue_wait_seconds_count", 'jobs_finished_total{state="exited"}'):
        assert (first[series], second[series]) == (1, 0)
    assert (first["output_bytes_total"], second["output_bytes_total"]) == (10, 0)


def test_a_kill_is_counted_by_its_reason_and_whether_it_took_kill(workers, pending):
    worker, _ = workers
    receipt = replace(KILL, found=1, escalated=True, verified_gone=True)
    killed = replace(
        running(pending),
        state=State.KILLED,
        reason=Reason.REQUESTED,
        finished_at=9 * S,
        kill=receipt,
    )
    worker.update(killed)
    assert worker['kills_total{reason="requested"}'] == 1
    assert worker['kills_total{reason="lost"}'] == 0
    assert worker["kill_escalations_total"] == 1


def test_a_job_that_never_started_has_no_duration(workers, pending):
    worker, _ = workers
    worker.update(
        replace(pending, state=State.KILLED, reason=Reason.LOST, finished_at=9 * S, output_bytes=0)
    )
    assert worker['jobs_finished_total{state="killed"}'] == 1
    assert worker['kills_total{reason="lost"}'] == 1
    assert worker['job_duration_seconds_count{state="killed"}'] == 0
    assert worker["queue_wait_seconds_count"] == 0


def test_what_could_not_be_stored_is_not_counted(workers, pending):
    worker, _ = workers
    worker.store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(Unavailable):
        worker.update(exited(running(pending)))
    worker.store._db.execute("PRAGMA query_only = OFF")
    assert worker['jobs_finished_total{state="exited"}'] == 0
    worker.update(exited(running(pending)))
    assert worker['jobs_finished_total{state="exited"}'] == 1

"""What is cleaned, and when: the rule on plain values, the worker's part on files and SQLite."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import sqlite3
import time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from log_readers import FakeSink, subscribed, watching
from msgspec.structs import replace

from service.engine.retention import KEPT_S, Due, Limits, Retention, due
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.states import State
from service.kinds.settings import read_settings
from service.output.writer import LogWriter
from service.settings import Percentage, SettingError
from service.store import Finished, Store, Totals

S = 1_000_000_000
# Seconds: a fuse.
FUSE_S = 300


def jobs(*ends, size=10):
    """Finished jobs, named by their number, and their totals."""
    found = [Finished(str(n), end * S, size) for n, end in enumerate(ends)]
    return found, Totals(len(found), size * len(found))


# ------------------------------------------------------------------------------------- the rule


def test_without_limits_nothing_is_ever_due():
    assert due(*jobs(0, 0), Limits(), now=10**20) == Due([], None)


def test_age_cleans_the_old_and_tells_when_the_next_is_due():
    found = due(*jobs(0, 100, 200), Limits(age_ns=1000 * S), now=1150 * S)
    assert found == Due(["0", "1"], 1200 * S)


def test_number_cleans_the_oldest_beyond_it():
    assert due(*jobs(0, 1, 2, 3), Limits(jobs=2), now=1000 * S) == Due(["0", "1"], None)


def test_bytes_clean_the_oldest_beyond_them():
    assert due(*jobs(0, 1, 2), Limits(disk_bytes=15), now=1000 * S) == Due(["0", "1"], None)


def test_a_job_is_kept_a_minute_whatever_the_limits_say():
    limits = Limits(age_ns=S, jobs=1, disk_bytes=1)
    assert due(*jobs(0, 1), limits, now=(KEPT_S - 1) * S) == Due([], KEPT_S * S)
    assert due(*jobs(0, 1), limits, now=KEPT_S * S) == Due(["0"], (KEPT_S + 1) * S)


def test_when_all_that_were_looked_at_are_due_it_is_to_be_asked_again():
    found, totals = jobs(0, 1, 2)
    assert due(found[:2], totals, Limits(age_ns=S), now=1000 * S).is_partial
    assert not due(found, totals, Limits(age_ns=S), now=1000 * S).is_partial


@given(
    ends=st.lists(st.integers(0, 500), max_size=20),
    limits=st.builds(
        Limits,
        age_ns=st.sampled_from([0, S, 100 * S, 1000 * S]),
        jobs=st.integers(0, 20),
        disk_bytes=st.integers(0, 250),
    ),
    now=st.integers(0, 2000),
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_what_is_left_keeps_the_limits_or_is_too_young(ends, limits, now):
    found, totals = jobs(*sorted(ends))
    answer = due(found, totals, limits, now=now * S)
    assert answer.ids == [job.id for job in found[: len(answer.ids)]]  # the oldest first
    assert all(job.finished_at + KEPT_S * S <= now * S for job in found[: len(answer.ids)])
    left = found[len(answer.ids) :]
    if left and left[0].finished_at + KEPT_S * S <= now * S:
        assert not limits.jobs or len(left) <= limits.jobs
        assert not limits.disk_bytes or sum(j.disk_bytes for j in left) <= limits.disk_bytes
        assert not limits.age_ns or left[0].finished_at + limits.age_ns > now * S
    if answer.next_at is not None:
        assert answer.next_at > now * S


# ------------------------------------------------------------------------------- the worker's part


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store(tmp_path / "jobs.db")) as store:
        yield store


def a_finished_job(store, tmp_path, job_id, *, finished_at, size=0):
    record = JobRecord(
        id=job_id, created_at=1, spec=b'{"Commands":[]}', commands=(CommandOutcome(),)
    )
    record = store.insert(record)
    directory = tmp_path / "jobs" / job_id
    directory.mkdir(parents=True)
    (directory / "output").write_bytes(b"x" * size)
    store.update(replace(record, state=State.EXITED, finished_at=finished_at))


def settings_for(tmp_path, **variables):
    names = {f"JOBRUNNER_RETAIN_{name.upper()}": value for name, value in variables.items()}
    return read_settings({"JOBRUNNER_STATE_DIR": str(tmp_path), **names})


@contextlib.asynccontextmanager
async def retaining(store, tmp_path, **variables):
    """A retention at work, and a queue of what it cleans."""
    cleaned = asyncio.Queue()

    async def forget(job_ids):
        for job_id in job_ids:
            assert store.finished.clean(job_id)
            cleaned.put_nowait(job_id)
        return len(job_ids)

    settings = settings_for(tmp_path, **variables)
    retention = Retention(settings, store, forget)
    task = asyncio.create_task(retention.run())
    try:
        async with asyncio.timeout(FUSE_S):
            yield retention, cleaned
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_due_at_the_start_is_cleaned_oldest_first(store, tmp_path):
    for number, job_id in enumerate("abc"):
        a_finished_job(store, tmp_path, job_id, finished_at=number)
    async with retaining(store, tmp_path, jobs="1", bytes="0") as (_, cleaned):
        assert [await cleaned.get() for _ in range(2)] == ["a", "b"]
    assert store.finished.totals().jobs == 1


async def test_a_job_is_cleaned_when_its_minute_is_over(store, tmp_path):
    now = time.time_ns()
    a_finished_job(store, tmp_path, "a", finished_at=now - KEPT_S * S + S // 5)
    a_finished_job(store, tmp_path, "b", finished_at=now)
    async with retaining(store, tmp_path, jobs="1", bytes="0") as (_, cleaned):
        assert await cleaned.get() == "a"
        assert time.time_ns() - now >= S // 5
    assert store.state_of("b") is State.EXITED


async def test_the_end_of_a_job_has_it_measured_and_the_oldest_cleaned(store, tmp_path):
    a_finished_job(store, tmp_path, "a", finished_at=1, size=1 << 20)
    async with retaining(store, tmp_path, bytes=str(3 << 19)) as (retention, cleaned):
        a_finished_job(store, tmp_path, "b", finished_at=time.time_ns(), size=1 << 20)
        retention.finished("b")
        assert await cleaned.get() == "a"
    assert 1 << 20 <= store.finished.totals().disk_bytes < 3 << 19


async def test_more_jobs_than_a_batch_are_all_cleaned(store, tmp_path):
    with store.transaction():
        for number in range(250):
            a_finished_job(store, tmp_path, f"job {number}", finished_at=number + 1)
    async with retaining(store, tmp_path, age="100", bytes="0") as (_, cleaned):
        assert [await cleaned.get() for _ in range(250)] == [f"job {n}" for n in range(250)]
    assert store.finished.totals() == Totals(0, 0)


async def test_keys_of_jobs_that_were_cleaned_long_ago_are_forgotten(store, tmp_path):
    now = time.time_ns()
    with store.transaction():
        store.connection.executemany(
            "INSERT INTO kept_keys VALUES ('', ?, x'00', 'a', ?)",
            [("new", now), *((f"old {n}", now - 8 * 86400 * S) for n in range(250))],
        )
    deleted, all_old = itertools.count(1), asyncio.Event()

    def traced(statement):
        if statement.startswith("DELETE FROM kept_keys") and next(deleted) == 250:
            all_old.set()

    store.connection.set_trace_callback(traced)
    async with retaining(store, tmp_path):
        await all_old.wait()
    store.connection.set_trace_callback(None)
    assert store.connection.execute("SELECT key FROM kept_keys").fetchall() == [("new",)]
    assert store.keys.find("new", kept_since=now) == ("a", b"\0")


async def test_a_live_job_is_never_cleaned(store, tmp_path):
    record = JobRecord(id="live", created_at=1, spec=b"{}", commands=(CommandOutcome(),))
    store.insert(record)
    a_finished_job(store, tmp_path, "done", finished_at=1)
    async with retaining(store, tmp_path, age="1", jobs="1", bytes="1") as (_, cleaned):
        assert await cleaned.get() == "done"
    assert store.state_of("live") is State.PENDING


async def test_two_who_clean_the_same_job_do_no_harm(store, tmp_path):
    a_finished_job(store, tmp_path, "a", finished_at=1)
    with contextlib.closing(Store(tmp_path / "jobs.db")) as other:
        assert [store.finished.clean("a"), other.finished.clean("a")] == [True, False]
        assert other.finished.cleaned() == ["a"]
    assert store.finished.totals().jobs == 0


def test_a_change_of_a_live_job_waits_for_no_other_writer(store, tmp_path):
    store.insert(JobRecord(id="live", created_at=1, spec=b"{}", commands=(CommandOutcome(),)))
    with contextlib.closing(Store(tmp_path / "jobs.db")) as other:
        other.connection.execute("BEGIN IMMEDIATE")
        assert store.finished.unmeasure("live") is False
        other.connection.execute("ROLLBACK")


def test_totals_follow_every_change(store, tmp_path):
    for job_id in "ab":
        a_finished_job(store, tmp_path, job_id, finished_at=5)
    assert (store.finished.totals(), store.finished.unmeasured(9)) == (Totals(2, 0), ["a", "b"])
    store.finished.measured({"a": 100, "b": 20})
    store.finished.measured({"a": 7})  # a second word about it doesn't count
    assert (store.finished.totals(), store.finished.unmeasured(9)) == (Totals(2, 120), [])
    store.finished.clean("a")
    assert store.finished.totals() == Totals(1, 20)


def test_the_queries_of_a_pass_use_their_indexes(store, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as db:
        is_finished = "finished_at IS NOT NULL AND state NOT IN ('pending', 'running')"
        for condition, index in (
            (f"{is_finished} ORDER BY finished_at, seq LIMIT 1", "jobs_by_end"),
            ("finished_at IS NOT NULL AND disk_bytes IS NULL ORDER BY seq", "jobs_unmeasured"),
        ):
            plan = db.execute(f"EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE {condition}")
            (step,) = [row[3] for row in plan]
            assert f"jobs USING INDEX {index}" in step


async def test_a_reader_of_a_cleaned_job_reads_on_to_the_end(tmp_path):
    (directory := tmp_path / "job").mkdir()
    content = os.urandom(1 << 20)
    log = LogWriter.create(directory)
    ours, theirs = os.pipe()
    for start in range(0, len(content), 1 << 15):
        os.write(theirs, content[start : start + (1 << 15)])
        log.splice_from(ours, 1, 0)
    os.close(theirs)
    os.close(ours)
    log.close(complete=True)
    with watching() as watcher, subscribed(watcher, directory) as subscription:
        sink = FakeSink()
        reading = asyncio.ensure_future(subscription.copy_to(sink))
        await sink.has_bytes(1)
        assert len(sink.all) < len(content)
        shutil.rmtree(directory)
        await reading
        assert sink.all == content


# ----------------------------------------------------------------------------------- its settings


def test_finished_jobs_may_take_a_tenth_of_the_file_system_by_default(tmp_path):
    settings = settings_for(tmp_path)
    assert settings.retain_bytes == Percentage(10)
    assert (settings.retain_age, settings.retain_jobs) == (0, 0)


@pytest.mark.parametrize("text", ["0%", "101%", "%", "-1", "1.5", "10 %", "ten"])
def test_a_wrong_bound_of_bytes_is_refused(tmp_path, text):
    with pytest.raises(SettingError, match="JOBRUNNER_RETAIN_BYTES"):
        settings_for(tmp_path, bytes=text)

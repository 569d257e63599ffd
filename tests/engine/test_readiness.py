"""Each thing that a new job needs is looked at by itself, and what is wrong has a name and a reason."""

import contextlib

import pytest

from service.engine.readiness import RecordsCheck, readiness
from service.store import Store

WELL = {
    "supervisor": None,
    "main": None,
    "room": None,
    "records": None,
    "descriptors": None,
    "drain": None,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path):
    with contextlib.closing(Store(path)) as store:
        yield store


def ask(records, **what):
    well = {"supervisor": None, "unstored": None, "shortage": None, "descriptors": None}
    return readiness(records, **{**well, **what})


def test_when_all_is_well_each_check_is_named_without_a_reason(store):
    assert ask(RecordsCheck(store)) == WELL


def test_each_thing_that_is_wrong_says_so_beside_those_that_are_not(path, store):
    records = RecordsCheck(store)
    assert ask(records, shortage="3 bytes left.") == {**WELL, "room": "3 bytes left."}
    assert ask(records, unstored="Full.") == {**WELL, "records": "Full."}
    assert ask(records, descriptors="None.") == {**WELL, "descriptors": "None."}
    assert ask(records, supervisor="Gone.") == {**WELL, "supervisor": "Gone."}
    drained = ask(records, draining_since=1_800_000_000_999_999_999)
    assert drained["drain"].startswith("The service drains since 2027-01-15T08:00:00Z: no new job")
    hung = ask(records, main_silent_s=13.4)
    assert hung == {**WELL, "main": "The main process is silent for 13 s."}


def test_records_that_somebody_keeps_locked_are_told_after_a_second(path, store):
    now = [0.0]
    records = RecordsCheck(store, now=lambda: now[0])
    with contextlib.closing(Store(path)) as other:
        with other.transaction():
            faults = []
            for tenth in range(12):
                now[0] = tenth / 10
                faults.append(records.fault())
            assert faults[:10] == [None] * 10
            assert "locked" in faults[-1]
        now[0] += 0.2
        assert records.fault() is None


def test_a_lock_that_passes_is_nothing(path, store):
    now = [0.0]
    records = RecordsCheck(store, now=lambda: now[0])
    with contextlib.closing(Store(path)) as other:
        for second in range(5):
            with other.transaction():
                now[0] = second + 0.0
                assert records.fault() is None
            now[0] = second + 0.5
            assert records.fault() is None


def test_records_are_looked_at_once_a_second_however_often_anybody_asks(path, store):
    now = [0.0]
    records = RecordsCheck(store, now=lambda: now[0])
    looks = []
    store._db.set_trace_callback(looks.append)
    for _ in range(1000):
        assert records.fault() is None
    assert len(looks) == 2  # BEGIN, ROLLBACK


def test_asking_changes_nothing_on_the_disk(path, store):
    files = [path, path.with_name("jobs.db-wal")]
    before = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    now = iter(range(1000))
    records = RecordsCheck(store, now=lambda: next(now))
    for _ in range(100):
        assert records.fault() is None
    assert [(file.stat().st_size, file.stat().st_mtime_ns) for file in files] == before

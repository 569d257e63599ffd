"""The write-ahead log stays short while others commit without a pause, and beside readers that stay."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest
from msgspec.structs import replace

from service.jobs.record import CommandOutcome, JobRecord
from service.store import Store, checkpoint

# Bytes from which on the log is emptied here.
SHORT = 256 << 10
# Commits without a pause, until it is killed.
WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute("PRAGMA synchronous = NORMAL")
db.execute("PRAGMA wal_autocheckpoint = 0")
print("ready", flush=True)
while True:
    db.execute("UPDATE finished SET jobs = jobs + 1")
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EMPTY_FROM_BYTES", SHORT)
    monkeypatch.setattr(checkpoint, "LONG_BYTES", 2 * SHORT)
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path):
    with contextlib.closing(Store(path)) as store:
        store.checkpoints.run()  # the log of the migrations is long
        yield store


def commit(store, count, *, start=0):
    for number in range(start, start + count):
        record = JobRecord(id=str(number), created_at=1, spec=b"{}", commands=(CommandOutcome(),))
        store.insert(replace(record, spec=b"x" * 4000))


def log_bytes(path):
    return path.with_name("jobs.db-wal").stat().st_size


def test_a_short_log_is_left_to_grow_and_a_long_one_is_emptied(path, store):
    commit(store, 5)
    before = log_bytes(path)
    store.checkpoints.run()
    assert log_bytes(path) == before < SHORT
    commit(store, 50, start=5)
    assert log_bytes(path) > SHORT
    store.checkpoints.run()
    assert log_bytes(path) == 0
    assert store.get("54") is not None
    commit(store, 1, start=55)


def test_the_log_is_emptied_beside_one_who_commits_without_a_pause(path, store):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout.readline() == "ready\n"
        emptied = longest = before = 0
        while emptied < 10:
            size = log_bytes(path)
            longest = max(longest, size)
            emptied += size < before
            before = size
            if size > SHORT:
                store.checkpoints.run()
    finally:
        writer.kill()
        writer.communicate()
    assert longest < 64 * SHORT


def test_a_reader_that_stays_is_tried_again_later_and_stops_nobody(path, store):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchall()
        commit(store, 150)
        assert store.checkpoints.is_log_long
        store.checkpoints.run()
        assert log_bytes(path) > SHORT
        assert not store.checkpoints.is_log_long  # nobody is to wait for that one
        commit(store, 10, start=150)
        reader.execute("ROLLBACK")
        store.checkpoints._not_before = 0.0  # what time would do
        store.checkpoints.run()
        assert log_bytes(path) == 0

"""Followers of changes on real SQLite: each is read once for all, whoever stores it, and whoever is
behind what is kept reads the records."""

import asyncio
import contextlib

import pytest
from msgspec.structs import replace

from service.engine import change_feed, records_watch
from service.engine.change_feed import ChangeFeed
from service.errors import Unavailable
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.states import State
from service.jobs.visibility import ALL, Only
from service.store import Store

# Seconds: a fuse.
FUSE_S = 120


@pytest.fixture
def other(records):
    """The records as another process has them open."""
    with contextlib.closing(Store(records.log_path.with_name("jobs.db"))) as other:
        yield other


@pytest.fixture
async def feed(records):
    feed = ChangeFeed(records)
    yield feed
    feed.close()


def insert(store, job_id, **fields):
    spec = b'{"Commands":[]}'
    return store.insert(
        JobRecord(id=job_id, created_at=1, spec=spec, commands=(CommandOutcome(),), **fields)
    )


async def heard(feed, after, visible=ALL):
    async with asyncio.timeout(FUSE_S):
        await feed.wait(after)
    return feed.read(after, visible)


async def test_what_another_process_stores_is_told_with_and_without_inotify(
    feed, other, monkeypatch
):
    for is_watched in (True, False):
        if not is_watched:
            monkeypatch.setattr(records_watch, "_watching", _refuse)
        with feed.following():
            before = feed.last()
            insert(other, f"{is_watched}")
            step = await heard(feed, before)
            assert [(told.change.id, told.seq) for told in step.found] == [
                (f"{is_watched}", before + 1)
            ]


def _refuse(_path):
    raise OSError(24, "Too many open files")


async def test_each_change_is_read_once_for_all_who_follow(feed, records, other):
    with feed.following(), feed.following():
        insert(records, "a", principal="ann")
        insert(other, "b", principal="bob")
        first = await heard(feed, 1)
        assert first.found == feed.read(1, ALL).found
        assert first.found[0] is feed.read(1, Only("bob")).found[0]
        assert feed.read(1, Only("ann")).found == []
        assert feed.read(1, Only("ann")).until == first.until


async def test_who_is_behind_what_is_kept_reads_the_records(feed, records, monkeypatch):
    monkeypatch.setattr(change_feed, "_KEPT", 2)
    with feed.following():
        for number in range(5):
            record = insert(records, f"{number}")
        records.update(replace(record, state=State.RUNNING), before=State.PENDING)
        await heard(feed, 5)
        for after in range(6):
            seen, step = [], None
            while step is None or not step.is_last:
                step = feed.read(after if step is None else step.until, ALL)
                seen += [told.change.id for told in step.found]
            assert seen[-1] == "4"
            assert seen[:-1] == [f"{n}" for n in range(after, 4)]


async def test_nobody_waits_for_a_worker_that_stops(feed):
    with feed.following():
        waiting = asyncio.ensure_future(feed.wait(feed.last()))
        await asyncio.sleep(0)  # noqa: TID251 - lets it begin
        feed.close()
        with pytest.raises(Unavailable):
            await waiting
    with pytest.raises(Unavailable), feed.following():
        pass

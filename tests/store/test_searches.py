"""Searches beside the event loop: they find what was stored, hold nobody up, and end with the store."""

import asyncio
import contextlib
import threading

import pytest

from service.errors import Unavailable
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.visibility import ALL
from service.store import Query, Store
from service.store.lists import Lists

NAMED = Query(name_prefix="a")
# A statement that has no end by itself, and reads nothing.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store(tmp_path / "jobs.db")) as store:
        yield store


def insert(store, job_id):
    record = JobRecord(
        id=job_id, name=f"a{job_id}", created_at=1, spec=b"{}", commands=(CommandOutcome(),)
    )
    store.insert(record)


async def found(store, query=NAMED):
    return (await store.searches.page(query, ALL, full=False, used={})).ids


async def test_a_search_finds_what_was_stored_before_it(store):
    for number in range(20):
        insert(store, str(number))
        assert await found(store) == [str(n) for n in range(number + 1)]
        assert await found(store, Query()) == await found(store)


async def test_numbers_and_ids_are_those_of_the_lists(store):
    for number in range(5):
        insert(store, str(number))
    for after, limit in ((0, 5), (2, 5), (0, 2)):
        bounds = {"after": after, "last": 4, "limit": limit}
        assert await store.searches.ids(NAMED, ALL, **bounds) == store.lists.ids(
            NAMED, ALL, **bounds
        )


@pytest.fixture
def endless(monkeypatch):
    """Searches that go on until they are interrupted, as one over very many records."""
    begun = threading.Event()

    def page(lists, *_, **__):
        begun.set()
        return lists._database.rows(ENDLESS)

    monkeypatch.setattr(Lists, "page", page)
    return begun


async def test_a_search_that_takes_long_holds_nobody_up_and_ends_with_the_store(store, endless):
    searches = [asyncio.ensure_future(found(store)) for _ in range(3)]
    assert await asyncio.to_thread(endless.wait, 60)
    insert(store, "1")
    assert not any(search.done() for search in searches)
    store.close()
    ends = await asyncio.gather(*searches, return_exceptions=True)
    assert isinstance(ends[0], Unavailable)
    assert all(isinstance(end, (Unavailable, asyncio.CancelledError)) for end in ends)
    with pytest.raises(Unavailable):
        await found(store)

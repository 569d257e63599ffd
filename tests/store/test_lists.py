"""Lists against a model: every selection in every order, page by page, while jobs come and go."""

import contextlib
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.jobs.record import CommandOutcome, JobRecord, Usage
from service.jobs.states import FINISHED, JOB_STATES, LIVE, Reason, State
from service.jobs.visibility import ALL, NOTHING, Only
from service.store import Order, Query, Store, lists, schema

NAMES = [
    None,
    "a",
    "ab",
    "abc",
    "b",
    "a*",
    "\u00e9",
    "\ud7ff",
    "\ue000x",
    "\U0010ffff",
    "\U0010ffffz",
]
STATES = [frozenset(JOB_STATES), LIVE, FINISHED, *(frozenset({s}) for s in JOB_STATES), frozenset()]
COUNT = 120


def a_job(choice, number):
    state = choice.choice(JOB_STATES)
    is_finished = state in FINISHED
    usage = Usage(choice.choice([None, 0.0, 0.5, 2.25]), choice.choice([None, 4096, 1 << 20]))
    return JobRecord(
        id=f"{number:03}",
        state=state,
        name=choice.choice(NAMES),
        labels=choice.choice([{}, {"k": "1"}, {"k": "1", "l": ""}, {"k": "2"}]),
        principal=choice.choice([None, "ann", "bob"]),
        created_at=number // 2 + choice.randrange(3),
        finished_at=500 if is_finished else None,
        exit_code=choice.choice([0, 0, 1, 137, None]) if is_finished else None,
        reason=choice.choice(list(Reason)) if state is State.KILLED else None,
        output_bytes=choice.choice([0, 5, 1 << 40, None]) if is_finished else None,
        spec=b'{"Commands":[]}',
        commands=(CommandOutcome(usage=usage if is_finished else None),),
    )


def stored(store, record):
    inserted = store.insert(replace(record, state=State.PENDING))
    record = replace(record, seq=inserted.seq)
    if record.state is not State.PENDING:
        store.update(record, before=State.PENDING)
    return record


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The jobs of a store, and what the live ones use."""
    choice = random.Random(11)
    with contextlib.closing(Store(tmp_path_factory.mktemp("lists") / "jobs.db")) as store:
        jobs = [stored(store, a_job(choice, number)) for number in range(COUNT)]
        store.finished.measured({job.id: 4096 for job in jobs if choice.randrange(3)})
        used = {job.id: choice.randrange(3) * 10**6 for job in jobs if job.state is State.RUNNING}
        yield store, jobs, used


def is_selected(job, query, visible):
    has_name = job.name is not None
    return all(
        (
            visible is ALL or job.principal == visible.principal,
            job.state in query.states,
            query.name is None or job.name == query.name,
            query.name_prefix is None or (has_name and job.name.startswith(query.name_prefix)),
            job.id.startswith(query.id_prefix or ""),
            all(job.labels.get(key) == value for key, value in query.labels),
            query.since is None or job.created_at >= query.since,
            query.until is None or job.created_at < query.until,
            query.exit_code is None or job.exit_code == query.exit_code,
            not query.has_failed or (job.state in FINISHED and job.exit_code != 0),
            query.reasons is None or job.reason in query.reasons,
        )
    )


def measure(job, order, used):
    if order in (Order.OLDEST, Order.NEWEST):
        return 0
    if job.state in LIVE:
        return used.get(job.id, 0)
    known = {
        Order.CPU: int((job.usage.cpu_s or 0) * 1e6),
        Order.MEMORY: job.usage.peak_bytes,
        Order.OUTPUT: job.output_bytes,
    }
    return known[order] or 0


def expected(jobs, query, visible, used):
    chosen = [job for job in jobs if is_selected(job, query, visible)]
    sign = 1 if query.order is Order.OLDEST else -1
    return [
        job.id
        for job in sorted(chosen, key=lambda j: (-measure(j, query.order, used), sign * j.seq))
    ]


queries = st.builds(
    Query,
    states=st.sampled_from(STATES),
    name=st.none() | st.none() | st.sampled_from([n for n in NAMES if n] + ["none"]),
    name_prefix=st.none()
    | st.none()
    | st.sampled_from(["", "a", "ab", "\ud7ff", "\U0010ffff", "z"]),
    id_prefix=st.none() | st.none() | st.sampled_from(["", "1", "01", "x"]),
    labels=st.sampled_from([(), (), (("k", "1"),), (("k", "1"), ("l", "")), (("k", "3"),)]),
    since=st.none() | st.none() | st.integers(0, COUNT),
    until=st.none() | st.none() | st.integers(0, COUNT),
    exit_code=st.none() | st.none() | st.sampled_from([0, 1, 137, 9]),
    has_failed=st.booleans(),
    reasons=st.none() | st.none() | st.frozensets(st.sampled_from(Reason), min_size=1, max_size=3),
    order=st.sampled_from(Order),
    limit=st.sampled_from([1, 7, 1000]),
)


@pytest.mark.slow
@given(queries, st.sampled_from([ALL, ALL, Only("ann"), Only("eve")]), st.booleans())
@settings(max_examples=300)
def test_pages_join_to_what_was_asked_for_in_its_order(filled, query, visible, is_many):
    store, jobs, used = filled
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lists, "_MANY", 0 if is_many else 10**9)
        wanted, seen = expected(jobs, query, visible, used), []
        for number in itertools.count():
            page = store.lists.page(query, visible, full=number == 0, used=used)
            assert page.total == len(wanted)
            assert page.ids == wanted[len(seen) : len(seen) + query.limit]
            assert [r.id for r in page.records] == (page.ids if number == 0 else [])
            seen += page.ids
            if page.next is None:
                break
            query = Query(**{f: getattr(query, f) for f in FIELDS}, after=page.next)
        assert seen == wanted


FIELDS = [f for f in Query.__struct_fields__ if f != "after"]


def test_who_sees_nothing_is_shown_nothing(filled):
    store, _, used = filled
    for order in Order:
        page = store.lists.page(Query(frozenset(JOB_STATES), order=order), NOTHING, used=used)
        assert (page.ids, page.total, page.next) == ([], 0, None)


@pytest.mark.parametrize("order", Order)
def test_no_page_skips_or_repeats_a_job_while_others_come_and_go(tmp_path, order):
    choice = random.Random(5)
    with contextlib.closing(Store(tmp_path / "jobs.db")) as store:
        jobs = {job.id: job for job in (stored(store, a_job(choice, n)) for n in range(60))}
        used = {job_id: choice.randrange(10**6) for job_id in jobs}
        came, gone, seen, after = set(), set(), [], None
        for number in itertools.count(60):
            query = Query(frozenset(JOB_STATES), order=order, limit=7, after=after)
            page = store.lists.page(query, ALL, used=used)
            seen += page.ids
            after = page.next
            if after is None:
                break
            came.add(stored(store, a_job(choice, number)).id)
            victim = choice.choice(
                [j for j in jobs.values() if j.state in FINISHED and j.id not in gone]
            )
            assert store.finished.clean(victim.id)
            gone.add(victim.id)
            store.finished.measured({job_id: 4096 for job_id in jobs if choice.randrange(2)})
        assert len(seen) == len(set(seen))
        assert set(jobs) - gone <= set(seen) <= set(jobs) | came


def test_what_finished_jobs_of_the_sixth_version_have_used_orders_them(tmp_path, monkeypatch):
    path = tmp_path / "jobs.db"
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:6])
        before.setattr(schema, "VERSION", 6)
        with contextlib.closing(Store(path)) as store:
            for number, commands in enumerate(
                (
                    '[{"usage":{"cpu_s":1.5,"peak_bytes":300}}]',
                    '[{},{"usage":{"cpu_s":2.5,"peak_bytes":null}}]',
                    '[{"usage":{"cpu_s":0.25,"peak_bytes":500}}]',
                    "no json",
                    '["usage"]',
                    b"\xff",
                    "[{}]",
                )
            ):
                store.connection.execute(
                    "INSERT INTO jobs (id, state, created_at, finished_at, dispatched,"
                    " output_complete, commands) VALUES (?, 'exited', 1, 2, 0, 1, ?)",
                    (str(number), commands),
                )
    with contextlib.closing(Store(path)) as store:
        for order, first in ((Order.CPU, ["1", "0", "2"]), (Order.MEMORY, ["2", "0", "6"])):
            page = store.lists.page(Query(FINISHED, order=order), ALL)
            assert page.ids[:3] == first
            assert page.total == 7

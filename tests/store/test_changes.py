"""The numbers of changes: in the order of commits, never twice, one for each job and one for each
job that was cleaned."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.jobs.record import CommandOutcome, JobRecord, Kill
from service.jobs.states import Reason, State
from service.jobs.visibility import ALL, NOTHING, Only
from service.store import Store, changes

KILL = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=10.0)


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store(tmp_path / "jobs.db")) as store:
        yield store


def inserted(store, job_id, **fields):
    spec = b'{"Commands":[]}'
    outcome = (CommandOutcome(),)
    return store.insert(JobRecord(id=job_id, created_at=1, spec=spec, commands=outcome, **fields))


def finish(store, record):
    store.update(
        replace(record, state=State.EXITED, exit_code=0, finished_at=9), before=State.PENDING
    )


def told(store, after=0, visible=ALL, limit=100):
    """Number, ID, and state, all until the end."""
    found = []
    while True:
        step = store.changes.behind(after, visible, limit=limit)
        found += [
            (change.seq, change.id, change.record.state.value if change.record else "cleaned")
            for change in step.found
        ]
        assert step.until >= after
        if step.is_last:
            return found
        after = step.until


def test_each_job_has_its_last_state_once_and_moves_to_the_end(store):
    a, b = inserted(store, "a"), inserted(store, "b")
    assert told(store) == [(1, "a", "pending"), (2, "b", "pending")]
    store.update(replace(a, state=State.RUNNING), before=State.PENDING)
    assert told(store) == [(2, "b", "pending"), (3, "a", "running")]
    finish(store, b)
    assert told(store, after=3) == [(4, "b", "exited")]
    assert store.changes.last() == 4


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda store, _: store.kills.add("a", KILL), id="kill"),
        pytest.param(lambda store, _: store.set_priority("a", 5, 1), id="priority"),
        pytest.param(
            lambda store, record: store.end_damaged(
                replace(record, state=State.KILLED, finished_at=9)
            ),
            id="damage",
        ),
    ],
)
def test_whatever_a_view_shows_is_a_change(store, change):
    record = inserted(store, "a")
    change(store, record)
    assert [number for number, _, _ in told(store)] == [2]


def test_what_a_view_does_not_show_is_no_change(store):
    record = inserted(store, "a")
    finish(store, record)
    store.finished.measured({"a": 4096})
    store.set_priority("a", 5, 0)  # overtaken by a later one
    assert told(store) == [(2, "a", "exited")]


def test_a_cleaned_job_leaves_a_tombstone(store):
    finish(store, inserted(store, "a"))
    inserted(store, "b")
    assert store.finished.clean("a")
    assert not store.finished.clean("a")
    assert not store.finished.clean("b")  # live
    assert told(store) == [(3, "b", "pending"), (4, "a", "cleaned")]


def test_tombstones_go_after_their_time_and_no_number_comes_twice(store):
    for job_id in "abc":
        finish(store, inserted(store, job_id))
    for at, job_id in enumerate("abc"):
        store.finished.clean(job_id, at=at)
    assert store.changes.forget(before=1, limit=10) == 1
    assert told(store) == [(8, "b", "cleaned"), (9, "c", "cleaned")]
    assert store.changes.forget(before=100, limit=10) == 1
    assert told(store) == [(9, "c", "cleaned")]  # the last one stays
    assert store.changes.forget(before=100, limit=10) == 0
    inserted(store, "d")
    assert told(store) == [(9, "c", "cleaned"), (10, "d", "pending")]
    assert store.changes.forget(before=100, limit=10) == 0


def test_a_caller_is_told_of_its_own_jobs_and_their_tombstones_alone(store, monkeypatch):
    monkeypatch.setattr(changes, "_SCANNED", 3)
    for number, principal in itertools.product(range(5), ("ann", "bob", None)):
        record = inserted(store, f"{principal}{number}", principal=principal)
        if number % 2:
            finish(store, record)
            store.finished.clean(record.id)
    of_ann = [(job_id, state) for _, job_id, state in told(store, visible=Only("ann"))]
    assert sorted(of_ann) == [
        ("ann0", "pending"),
        ("ann1", "cleaned"),
        ("ann2", "pending"),
        ("ann3", "cleaned"),
        ("ann4", "pending"),
    ]
    assert told(store, visible=NOTHING) == []
    assert store.changes.behind(0, NOTHING, limit=9).until > 0  # passed over, and not again
    assert len(told(store)) == 15


def test_pages_of_any_size_tell_the_same(store):
    for number in range(10):
        record = inserted(store, f"{number}")
        if number % 3 == 0:
            finish(store, record)
        if number % 6 == 0:
            store.finished.clean(record.id)
    assert all(told(store, limit=limit) == told(store) for limit in range(1, 12))


def test_a_step_of_large_records_is_shorter_and_nothing_is_left_out(store):
    record = JobRecord(
        id="", created_at=1, spec=b'"%s"' % (b"x" * 300_000), commands=(CommandOutcome(),)
    )
    for number in range(30):
        store.insert(replace(record, id=f"{number}"))
    step = store.changes.behind(0, ALL, limit=100)
    assert (len(step.found), step.until, step.is_last) == (10, 10, False)
    assert [seq for seq, _, _ in told(store)] == list(range(1, 31))


def test_numbers_grow_over_connections_and_a_reader_sees_those_of_others(store, tmp_path):
    with contextlib.closing(Store(tmp_path / "jobs.db")) as other:
        inserted(other, "a")
        inserted(store, "b")
        inserted(other, "c")
        assert store.changes.origin() == other.changes.origin()
    assert told(store) == [(1, "a", "pending"), (2, "b", "pending"), (3, "c", "pending")]


def test_a_change_of_which_nothing_is_stored_takes_no_number(store):
    with contextlib.suppress(ZeroDivisionError), store.transaction():
        inserted(store, "a")
        raise ZeroDivisionError
    inserted(store, "b")
    assert told(store) == [(1, "b", "pending")]


STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "finish", "clean", "forget", "kill"]), st.integers(0, 5))
)


@pytest.mark.slow
@given(STEPS)
def test_a_reader_that_follows_knows_in_the_end_what_one_that_comes_last_knows(
    tmp_path_factory, steps
):
    directory = tmp_path_factory.mktemp("records")
    with contextlib.closing(Store(directory / "jobs.db")) as store:
        known, seen, records = {}, 0, {}
        for step, number in steps:
            match step:
                case "insert" if number not in records:
                    records[number] = inserted(store, f"{number}")
                case "finish" if number in records:
                    finish(store, store.get(f"{number}") or records[number])
                case "clean":
                    if store.finished.clean(f"{number}", at=number):
                        del records[number]
                case "kill":
                    store.kills.add(f"{number}", KILL)
                case "forget" if not store.changes.behind(seen, ALL, limit=99).found:
                    store.changes.forget(before=3, limit=9)  # never what this reader hasn't read
            if number % 2:
                for at, job_id, state in told(store, after=seen):
                    assert at > seen
                    seen, known[job_id] = at, state
        known |= {job_id: state for _, job_id, state in told(store, after=seen)}
        live = {job_id: state for job_id, state in known.items() if state != "cleaned"}
        now = {job_id: state for _, job_id, state in told(store) if state != "cleaned"}
        assert live == now == {r.id: store.state_of(r.id).value for r in records.values()}

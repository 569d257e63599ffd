"""The records on real SQLite: what is stored survives, and a finished job changes no more."""

import contextlib
import itertools
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import InsufficientStorage, Unavailable
from service.jobs.record import MAX_LATER_KILLS, CommandOutcome, JobRecord, Kill
from service.jobs.states import FINISHED, JOB_STATES, LIVE, Reason, State
from service.jobs.visibility import ALL, NOTHING, Only, Sight
from service.store import (
    DuplicateKey,
    Order,
    Overtaken,
    Position,
    Query,
    SchemaTooNew,
    Store,
    StoreError,
    schema,
)

KILL = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=10.0)
EVERYTHING = frozenset(JOB_STATES)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path):
    with contextlib.closing(Store(path)) as store:
        yield store


def a_record(job_id="a", **fields):
    return JobRecord(
        id=job_id, created_at=1, spec=b'{"Commands":[]}', commands=(CommandOutcome(),), **fields
    )


def finished(record, state=State.EXITED):
    return replace(record, state=state, exit_code=0, finished_at=9, output_bytes=3)


# ------------------------------------------------------------------------------------ in and out


def test_a_record_comes_back_as_it_was_stored(store):
    record = store.insert(a_record(name="n", labels={"team": "db", "x": ""}))
    assert store.get("a") == record
    outcome = CommandOutcome(state=State.KILLED, signal="SIGTERM", started_at=2, finished_at=4)
    changed = replace(
        record,
        state=State.KILLED,
        reason=Reason.TIMEOUT,
        exit_code=None,
        signal="SIGTERM",
        error="It broke.",
        started_at=2,
        finished_at=4,
        dispatched=0,
        output_bytes=17,
        output_complete=False,
        kill=replace(KILL, found=2, escalated=True, verified_gone=True),
        commands=(outcome,),
    )
    assert store.update(changed)
    assert store.get("a") == replace(changed, revision=1)
    assert store.state_of("a") is State.KILLED


def test_what_was_stored_outlives_its_store(path):
    with contextlib.closing(Store(path)) as first:
        record = first.insert(a_record())
    with contextlib.closing(Store(path)) as second:
        assert second.get("a") == record


def test_another_connection_sees_a_commit_at_once(path, store):
    with contextlib.closing(Store(path)) as other:
        record = store.insert(a_record())
        assert other.get("a") == record


def test_an_unknown_job_is_nothing(store):
    assert store.get("nope") is None
    assert store.state_of("nope") is None
    assert store.kills.add("nope", KILL) is None


def test_numbers_of_jobs_are_never_given_twice(store):
    first = store.insert(a_record("a"))
    store.update(finished(first))
    store.finished.clean("a")
    assert store.insert(a_record("b")).seq > first.seq


def test_the_file_is_nobody_elses(path, store):
    assert path.stat().st_mode & 0o777 == 0o600


def by_state(store):
    counts = store.counts()
    assert list(counts) == list(JOB_STATES)
    return tuple(counts.values())


def test_jobs_are_counted_by_state_whatever_becomes_of_them(store):
    assert by_state(store) == (0, 0, 0, 0)
    records = [store.insert(a_record(name)) for name in "abcde"]
    store.update(replace(records[0], state=State.RUNNING))
    assert by_state(store) == (4, 1, 0, 0)
    records[0] = replace(records[0], revision=1)
    for record, state in zip(records, ("exited", "killed", "exited", "killed"), strict=False):
        store.update(finished(record, State(state)))
    store.finished.measured({"a": 10, "b": 20})
    assert by_state(store) == (1, 0, 2, 2)
    store.finished.clean("b")
    store.finished.clean("c")
    store.finished.clean("e")  # live: it stays
    assert by_state(store) == (1, 0, 1, 1)


# -------------------------------------------------------------------------- conditional updates


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_a_finished_job_changes_no_more(store, state):
    record = store.insert(a_record())
    assert store.update(finished(record, state))
    stored = store.get("a")
    for other in JOB_STATES:
        assert not store.update(replace(record, state=other, exit_code=7))
    assert store.kills.add("a", KILL) is state
    assert store.get("a") == stored


def test_an_update_by_somebody_who_missed_the_kill_keeps_it(store):
    record = store.insert(a_record())
    assert store.kills.add("a", KILL) is State.PENDING
    store.update(replace(record, state=State.RUNNING))
    assert store.get("a").kill == KILL
    receipt = replace(KILL, found=1, escalated=False, verified_gone=True)
    store.update(replace(record, state=State.KILLED, kill=receipt, revision=1))
    assert store.get("a").kill == receipt


def test_a_change_of_what_others_have_changed_meanwhile_is_refused(store):
    record = store.insert(a_record())
    store.update(replace(record, state=State.RUNNING, dispatched=1))
    stored = store.get("a")
    for state in JOB_STATES:
        with pytest.raises(Overtaken):
            store.update(replace(record, state=state, dispatched=0))
    assert store.get("a") == stored
    assert store.update(replace(stored, dispatched=2)) is State.RUNNING


def test_every_request_to_kill_is_recorded(store):
    store.insert(a_record())
    store.kills.add("a", KILL)
    store.kills.add("a", replace(KILL, signal="SIGINT", grace_s=0.5, requested_at=6))
    store.kills.add("a", replace(KILL, grace_s=900.0, requested_at=7))
    kill = store.get("a").kill
    assert (kill.requested_at, kill.signal, kill.grace_s) == (KILL.requested_at, "SIGTERM", 0.5)
    assert [(later.signal, later.requested_at) for later in kill.later] == [
        ("SIGINT", 6),
        ("SIGTERM", 7),
    ]
    for at in range(100):
        store.kills.add("a", replace(KILL, requested_at=8 + at))
    assert len(store.get("a").kill.later) == MAX_LATER_KILLS


def test_update_by_somebody_who_missed_a_later_request_keeps_it(store):
    record = store.insert(a_record())
    store.kills.add("a", KILL)
    store.kills.add("a", replace(KILL, signal="SIGINT", requested_at=6))
    store.update(replace(record, state=State.RUNNING, kill=KILL), before=State.PENDING)
    assert store.get("a").kill.signals == ["SIGTERM", "SIGINT"]


@given(st.lists(st.sampled_from(JOB_STATES), max_size=8))
@settings(max_examples=30, deadline=None)
def test_the_first_final_state_stays(tmp_path_factory, states):
    path = tmp_path_factory.mktemp("store") / "jobs.db"
    with contextlib.closing(Store(path)) as store:
        record = store.insert(a_record())
        taken = [
            store.update(replace(record, state=state, revision=n)) for n, state in enumerate(states)
        ]
        final = [n for n, state in enumerate(states) if state in FINISHED]
        last = final[0] if final else len(states) - 1
        # Each says where the job was; what comes after the end changes nothing.
        assert taken == [*[State.PENDING, *states][: last + 1], *[None] * (len(states) - last - 1)]
        assert store.state_of("a") is (states[last] if states else State.PENDING)


# ---------------------------------------------------------------------------------- transactions


def test_a_transaction_is_all_or_nothing(store):
    record = store.insert(a_record())
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.update(replace(record, state=State.RUNNING))
        store.insert(a_record("b"))
        raise ZeroDivisionError
    assert store.state_of("a") is State.PENDING
    assert store.get("b") is None
    assert store.insert(a_record("b"))


def test_records_locked_by_somebody_else_are_unavailable(path, store, monkeypatch):
    monkeypatch.setattr("service.store.database._BUSY_S", 0.0)
    with contextlib.closing(Store(path)) as impatient, store.transaction():
        with pytest.raises(Unavailable):
            impatient.insert(a_record())
    assert store.insert(a_record())


def test_a_full_disk_is_told_as_such(store):
    store._db.execute("PRAGMA max_page_count = 1")  # what SQLite answers with when there is no room
    with pytest.raises(InsufficientStorage):
        for n in itertools.count():
            store.insert(replace(a_record(str(n)), spec=b"x" * 10_000))
    store._db.execute("PRAGMA max_page_count = 1073741823")
    store.check()
    assert store.insert(a_record("again"))


def test_a_checkpoint_empties_the_log_beside_an_open_store(path, store):
    log = path.with_name("jobs.db-wal")
    store.insert(replace(a_record(), spec=b"x" * 100_000))
    size = path.stat().st_size
    assert log.stat().st_size > 100_000
    store.checkpoints.run()
    assert path.stat().st_size > size
    assert store.get("a") is not None


def test_commits_and_their_bytes_are_counted_until_a_checkpoint(store):
    checkpoints = store.checkpoints
    assert not checkpoints.is_due
    for n in range(500):
        store.insert(a_record(str(n)))
    assert checkpoints.is_due
    checkpoints.run()
    assert not checkpoints.is_due
    store.insert(replace(a_record("large"), spec=b"x" * (5 << 20)))
    assert checkpoints.is_due


# ------------------------------------------------------------------------------- idempotency keys


def test_a_key_leads_to_its_job_as_long_as_that_is_kept(store):
    record = store.insert(a_record(), key="k", key_hash=b"h")
    assert store.keys.find("k") == ("a", b"h")
    with pytest.raises(DuplicateKey):
        store.insert(a_record("b"), key="k", key_hash=b"h")
    assert store.get("b") is None
    store.update(finished(record))
    store.finished.clean("a")
    assert store.keys.find("k") is None
    store.insert(a_record("b"), key="k", key_hash=b"h")


# --------------------------------------------------------------------------------------- cleaning


def test_only_a_finished_job_is_cleaned(store):
    record = store.insert(a_record(labels={"a": "b"}))
    store.finished.clean("a")
    assert store.get("a") == record
    assert store.finished.cleaned() == []
    store.update(finished(record))
    store.finished.clean("a")
    assert store.get("a") is None
    assert store.lists.page(Query(EVERYTHING, labels=(("a", "b"),)), ALL).ids == []
    assert store.finished.cleaned() == ["a"]
    store.finished.files_removed("a")
    assert store.finished.cleaned() == []


def test_cleaning_leaves_nothing_of_a_job_behind(store):
    record = store.insert(a_record(labels={"a": "b"}))
    store.update(finished(record))
    store.finished.clean("a")
    store.finished.files_removed("a")
    for table in ("jobs", "specs", "labels", "cleaned"):
        assert store._db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_checking_leaves_nothing_behind(store):
    store.check()
    assert store.finished.cleaned() == []


# ------------------------------------------------------------------------------------------ lists


@pytest.fixture
def filled(store):
    """20 jobs: state by turns, a name for each third, a label for each half."""
    for n in range(20):
        record = store.insert(
            a_record(
                f"{n:02}",
                name="third" if n % 3 == 0 else None,
                labels={"half": str(n % 2), "all": ""},
            )
        )
        store.update(replace(record, state=JOB_STATES[n % 4]))
    return store


def ids(numbers):
    return [f"{n:02}" for n in numbers]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (Query(), [n for n in range(20) if n % 4 in (0, 1)]),
        (Query(EVERYTHING), range(20)),
        (Query(frozenset({State.KILLED})), range(3, 20, 4)),
        (Query(EVERYTHING, name="third"), range(0, 20, 3)),
        (Query(EVERYTHING, name="none"), []),
        (Query(EVERYTHING, labels=(("half", "1"),)), range(1, 20, 2)),
        (Query(EVERYTHING, labels=(("half", "1"), ("all", ""))), range(1, 20, 2)),
        (Query(EVERYTHING, labels=(("half", "1"), ("all", "x"))), []),
        (Query(EVERYTHING, name="third", labels=(("half", "1"),)), range(3, 20, 6)),
        (Query(frozenset()), []),
    ],
    ids=itertools.count(),  # the repr of a set differs from process to process
)
def test_a_list_shows_what_was_asked_for_oldest_first(filled, query, numbers, full):
    page = filled.lists.page(query, ALL, full=full)
    assert page.ids == ids(numbers)
    assert page.next is None
    if full:
        assert page.records == [filled.get(job_id) for job_id in page.ids]
    else:
        assert page.records == []


def test_unfinished_are_the_live_jobs_oldest_first(filled):
    assert [job_id for _, job_id in filled.unfinished()] == filled.lists.page(Query(), ALL).ids


@pytest.mark.parametrize("limit", [1, 3, 19, 20, 21])
@pytest.mark.parametrize("full", [True, False])
def test_pages_join_to_the_whole_list(filled, limit, full):
    seen, after = [], None
    while True:
        page = filled.lists.page(Query(EVERYTHING, limit=limit, after=after), ALL, full=full)
        assert len(page.ids) <= limit
        seen += page.ids
        if page.next is None:
            break
        after = page.next
    assert seen == ids(range(20))


def test_a_page_skips_and_repeats_nothing_while_jobs_come_and_go(filled):
    first = filled.lists.page(Query(EVERYTHING, limit=10), ALL)
    filled.finished.clean("02")
    filled.finished.clean("14")
    filled.insert(a_record("20"))
    second = filled.lists.page(Query(EVERYTHING, limit=20, after=first.next), ALL)
    assert second.ids == ids(n for n in range(10, 21) if n != 14)


# ----------------------------------------------------------------------------------------- of many

MANY = 20_000


@pytest.mark.parametrize("full", [False, True])
def test_a_list_and_a_look_show_what_is_visible_and_nothing_else(store, full):
    principals = {"of ann": "ann", "of bob": "bob", "of nobody": None, "of empty": ""}
    for name, principal in principals.items():
        store.insert(a_record(name, principal=principal))
    for visible, seen in [
        (ALL, list(principals)),
        (Only("ann"), ["of ann"]),
        (Only("eve"), []),
        (Only("None"), []),
        (Only(""), ["of empty"]),
        (NOTHING, []),
    ]:
        page = store.lists.page(Query(EVERYTHING), visible, full=full)
        assert page.ids == seen
        assert [r.id for r in page.records] == (seen if full else [])
        for name in principals:
            assert store.lists.sight(name, visible) is (
                Sight.SEEN if name in seen else Sight.FOREIGN
            )
        if visible != ALL:
            assert store.lists.sight("none", visible) is Sight.UNKNOWN


def test_the_ceiling_of_a_job_is_kept(store):
    store.insert(a_record("a", max_running=3))
    assert store.get("a").max_running == 3


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Many finished jobs, all but a few of them measured, and one live in each thousand."""
    path = tmp_path_factory.mktemp("large") / "jobs.db"
    with contextlib.closing(Store(path)) as store:
        db = store._db
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO jobs (id, state, name, created_at, dispatched, output_complete, commands,"
            " finished_at, exit_code, reason, cpu_us, memory_bytes, output_bytes, disk_bytes)"
            " VALUES (?, ?, ?, ?, 0, 1, '[]', ?, ?, ?, ?, ?, ?, ?)",
            (
                (str(n), "running", f"n{n % 100}", n, None, None, None, 0, 0, None, None)
                if n % 1000 == 0
                else (str(n), "exited", f"n{n % 100}", n, n, int(n % 50 == 1))
                + ("timeout" if n % 50 == 2 else None, n * 7919 % MANY, n * 7907 % MANY, n % 977)
                + (None if n % 10_000 == 1 else 4096,)
                for n in range(MANY)
            ),
        )
        db.execute("INSERT INTO specs SELECT seq, '{}' FROM jobs")
        db.execute("INSERT INTO labels SELECT 'k', seq % 100, seq FROM jobs")
        db.execute("COMMIT")
        yield store


def steps(store, query, *, full):
    """Steps of SQLite's machine for one page beside its total, and the plans' lines."""
    taken, ticks = {}, itertools.count()
    store._db.set_trace_callback(lambda statement: taken.setdefault(statement, next(ticks)))
    store._db.set_progress_handler(lambda: next(ticks) * 0, 10)
    page = store.lists.page(query, ALL, full=full)
    store._db.set_progress_handler(None, 0)
    store._db.set_trace_callback(None)
    began = [*taken.values(), next(ticks)]
    cost = dict(
        zip(taken, itertools.starmap(lambda a, b: b - a, itertools.pairwise(began)), strict=True)
    )
    queries = [sql for sql in taken if sql.startswith("SELECT") and "count(*)" not in sql]
    plan = [row[3] for sql in queries for row in store._db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    return sum(cost[sql] for sql in queries) * 10, plan, page


@pytest.mark.parametrize("full", [True, False], ids=["full", "ids"])
@pytest.mark.parametrize(
    ("query", "rows"),
    [
        pytest.param(Query(), MANY // 1000, id="live"),
        pytest.param(Query(EVERYTHING), 1000, id="all"),
        pytest.param(Query(EVERYTHING, limit=10), 10, id="ten of all"),
        pytest.param(Query(EVERYTHING, after=Position(0, MANY - 5)), 5, id="the last of all"),
        pytest.param(Query(frozenset(FINISHED), limit=10), 10, id="ten finished"),
        pytest.param(Query(EVERYTHING, name="n7", limit=10), 10, id="ten of a name"),
        pytest.param(Query(EVERYTHING, labels=(("k", "7"),), limit=10), 10, id="ten of a label"),
        pytest.param(Query(EVERYTHING, order=Order.NEWEST), 1000, id="the newest"),
        *(
            pytest.param(Query(EVERYTHING, order=order, limit=10), 10, id=f"ten by {order}")
            for order in (Order.CPU, Order.MEMORY, Order.OUTPUT)
        ),
        pytest.param(
            Query(EVERYTHING, order=Order.CPU, limit=10, after=Position(MANY // 2, 0)),
            10,
            id="ten in the middle by cpu",
        ),
        pytest.param(Query(EVERYTHING, name_prefix="n7", limit=10), 10, id="ten of a prefix"),
        pytest.param(Query(EVERYTHING, id_prefix="1777"), 11, id="of an ID, its beginning"),
        pytest.param(Query(EVERYTHING, since=MANY - 10), 10, id="the last by time"),
        pytest.param(Query(EVERYTHING, since=10, limit=10), 10, id="ten of all but some by time"),
        pytest.param(Query(EVERYTHING, exit_code=0, limit=10), 10, id="ten that exited with 0"),
    ],
)
def test_a_page_costs_what_it_shows_not_what_is_stored(large, query, rows, full):
    taken, plan, page = steps(large, query, full=full)
    assert len(page.ids) == rows
    # An index that has the jobs in the order of the list is left as soon as the page is full.
    scanned = [line for line in plan if line.startswith("SCAN jobs")]
    # Jobs that aren't measured yet stand in one of their own.
    known = {query.order.by_measure, "jobs_unmeasured"}
    assert set(scanned) <= {f"SCAN jobs USING INDEX {index}" for index in known}
    # Labels are looked up as a set, which has one entry in a hundred of all.
    asked_for = MANY / 100 if query.labels else rows
    if query.order.is_by_use:
        asked_for += MANY / 1000  # what the live ones use stands in no index
    assert taken < 100 * asked_for + 1000


def test_counting_jobs_by_state_costs_what_is_live_not_what_is_stored(tmp_path):
    with contextlib.closing(Store(tmp_path / "jobs.db")) as store:
        db = store._db
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO jobs (id, state, created_at, finished_at, dispatched, output_complete,"
            " commands) VALUES (?, ?, 0, ?, 0, 1, '[]')",
            (
                (str(n), state, None if state == "running" else n)
                for n in range(20_000)
                for state in ["running" if n % 1000 == 0 else "killed" if n % 4 == 1 else "exited"]
            ),
        )
        db.execute("COMMIT")
        taken = itertools.count()
        db.set_progress_handler(lambda: next(taken) * 0, 10)
        counts = store.counts()
        db.set_progress_handler(None, 0)
        assert list(counts.values()) == [0, 20, 14_980, 5_000]
        assert next(taken) * 10 < 500


# ----------------------------------------------------------------------------------------- schema


def version_of(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_a_new_file_has_the_present_version(path, store):
    assert version_of(path) == schema.VERSION == len(schema.MIGRATIONS)


def test_a_file_of_a_newer_release_is_refused_and_left_alone(path):
    Store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(SchemaTooNew, match=f"version {schema.VERSION + 1}"):
        Store(path)
    assert version_of(path) == schema.VERSION + 1


def test_an_older_file_is_led_forwards_with_what_it_holds(path, monkeypatch):
    with contextlib.closing(Store(path)) as store:
        record = store.insert(a_record())
    newer = (*schema.MIGRATIONS, "ALTER TABLE jobs ADD COLUMN more TEXT; CREATE TABLE extra (a)")
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    monkeypatch.setattr(schema, "VERSION", len(newer))
    with contextlib.closing(Store(path)) as store:
        assert store.get("a") == record
        assert store._db.execute("SELECT more FROM jobs").fetchall() == [(None,)]
    assert version_of(path) == len(newer)


def test_a_file_from_before_the_count_is_counted_when_it_is_led_forwards(path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        before.setattr(schema, "VERSION", 2)
        with contextlib.closing(Store(path)) as store:
            for name, state, finished_at in (
                ("a", "killed", 2), ("b", "exited", 2), ("c", "exited", 2), ("d", "pending", None),
            ):  # fmt: skip
                seq = store._db.execute(
                    "INSERT INTO jobs (id, state, created_at, asked, output_complete, commands,"
                    " finished_at) VALUES (?, ?, 1, -1, 1, '[{}]', ?)",
                    (name, state, finished_at),
                ).lastrowid
                store._db.execute("INSERT INTO specs VALUES (?, '{\"Commands\":[]}')", (seq,))
    with contextlib.closing(Store(path)) as store:
        assert by_state(store) == (1, 0, 2, 1)
        store.finished.clean("a")
        store.update(finished(store.get("d"), State.KILLED))
        assert by_state(store) == (0, 0, 2, 1)
        assert store.finished.totals().jobs == 3


def test_jobs_of_the_fifth_version_keep_their_principal_key_and_dispatched_command(
    path, monkeypatch
):
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:5])
        before.setattr(schema, "VERSION", 5)
        with contextlib.closing(Store(path)) as store:
            for name, state, owner, asked, key in (
                ("a", "running", "ann", 1, "k"), ("b", "pending", "bob", -1, "k"),
                ("c", "exited", None, 0, "k"), ("d", "running", "ann", 0, None),
            ):  # fmt: skip
                seq = store._db.execute(
                    "INSERT INTO jobs (id, state, created_at, asked, output_complete, commands,"
                    " owner, idempotency_key, idempotency_hash, max_running, revision)"
                    " VALUES (?, ?, 1, ?, 1, '[{},{}]', ?, ?, x'00', 7, 3)",
                    (name, state, asked, owner, key),
                ).lastrowid
                store._db.execute("INSERT INTO specs VALUES (?, '{\"Commands\":[]}')", (seq,))
    assert version_of(path) == 5
    with contextlib.closing(Store(path)) as store:
        assert version_of(path) == schema.VERSION
        records = {name: store.get(name) for name in "abcd"}
        assert {n: (r.principal, r.dispatched) for n, r in records.items()} == {
            "a": ("ann", 1), "b": ("bob", -1), "c": (None, 0), "d": ("ann", 0),
        }  # fmt: skip
        assert {(r.max_running, r.revision, r.damage) for r in records.values()} == {(7, 3, None)}
        assert store.lists.page(Query(EVERYTHING), Only("ann")).ids == ["a", "d"]
        for principal, name in (("ann", "a"), ("bob", "b"), (None, "c")):
            assert store.keys.find("k", principal) == (name, b"\0")
            with pytest.raises(DuplicateKey):
                store.insert(a_record("e", principal=principal), key="k", key_hash=b"1")
        store.update(finished(records["a"], State.KILLED))
        assert store.get("a").dispatched == 1
        store.finished.clean("a", keep_key_from=5)
        with pytest.raises(DuplicateKey):
            store.insert(a_record("f", principal="ann"), key="k", key_hash=b"1", kept_since=5)
        store.insert(a_record("f", principal="ann"), key="k", key_hash=b"1", kept_since=6)


def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    Store(path).close()
    broken = (*schema.MIGRATIONS, "CREATE TABLE extra (a); nonsense")
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", broken)
        patched.setattr(schema, "VERSION", len(broken))
        with pytest.raises(StoreError, match="can't be opened"):
            Store(path)
    assert version_of(path) == schema.VERSION
    with contextlib.closing(Store(path)) as store:
        assert not store._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'extra'").fetchall()


@pytest.mark.parametrize("what", ["no database", "a directory", "nowhere"])
def test_what_cannot_be_opened_is_told_with_its_path(tmp_path, what):
    path = tmp_path / "jobs.db"
    if what == "no database":
        path.write_bytes(b"not a database at all" * 100)
    elif what == "a directory":
        path.mkdir()
    else:
        path = tmp_path / "missing" / "jobs.db"
    with pytest.raises(StoreError, match=str(path)):
        Store(path)


def test_states_of_the_schema_are_those_of_the_lifecycle(store):
    assert {state.value for state in LIVE} == {"pending", "running"}
    for state in JOB_STATES:
        record = store.insert(a_record(state.value, state=state))
        assert store.get(state.value) == record

"""Idempotency keys: one leads to one job, whoever cleans that, and whatever is killed meanwhile."""

import contextlib
import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.states import State
from service.store import DuplicateKey, Store

KEPT = 10  # moments that a key outlives its job


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store(tmp_path / "jobs.db")) as store:
        yield store


def submitted(store, job_id, *, key="k", principal=None, kept_since=0, key_hash=b"h"):
    record = JobRecord(
        id=job_id, created_at=1, spec=b"{}", commands=(CommandOutcome(),), principal=principal
    )
    return store.insert(record, key=key, key_hash=key_hash, kept_since=kept_since)


def clean(store, record, *, at=1):
    store.update(replace(record, state=State.EXITED, finished_at=1), before=State.PENDING)
    assert store.finished.clean(record.id, keep_key_from=at)


def test_a_key_outlives_its_job(store):
    clean(store, submitted(store, "a"), at=5)
    assert store.keys.find("k", kept_since=5) == ("a", b"h")
    assert store.keys.find("k", kept_since=6) is None
    assert store.keys.find("k") is None
    with pytest.raises(DuplicateKey):
        submitted(store, "b", kept_since=5)
    assert store.get("b") is None


def test_a_kept_key_belongs_to_its_principal(store):
    for number, principal in enumerate((None, "ann", "bob")):
        clean(store, submitted(store, str(number), principal=principal))
    for number, principal in enumerate((None, "ann", "bob")):
        assert store.keys.find("k", principal, kept_since=0) == (str(number), b"h")
    assert store.keys.find("k", "eve", kept_since=0) is None
    submitted(store, "of eve", principal="eve")


def test_an_expired_key_is_free_and_its_next_job_has_it(store):
    clean(store, submitted(store, "a"), at=5)
    clean(store, submitted(store, "b", kept_since=6), at=9)
    assert store.keys.find("k", kept_since=6) == ("b", b"h")


def test_a_live_job_keeps_its_key_to_itself(store):
    record = submitted(store, "a")
    assert not store.finished.clean("a", keep_key_from=1)
    assert store.connection.execute("SELECT * FROM kept_keys").fetchall() == []
    assert store.get("a") == record


def test_jobs_without_a_key_leave_none(store):
    clean(store, submitted(store, "a", key=None, key_hash=None))
    assert store.connection.execute("SELECT * FROM kept_keys").fetchall() == []


def test_a_key_whose_hash_is_damaged_does_not_keep_its_job_from_being_cleaned(store):
    clean(store, submitted(store, "a", key_hash=None))
    assert store.keys.find("k", kept_since=0) == ("a", b"")


def test_looking_for_keys_and_forgetting_them_uses_indexes(store):
    for sql in (
        "SELECT job, hash FROM kept_keys WHERE principal = '' AND key = 'k' AND cleaned_at >= 1",
        "SELECT principal, key FROM kept_keys WHERE cleaned_at < 1 ORDER BY cleaned_at LIMIT 1",
    ):
        (step,) = store.connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        assert step[3].startswith("SEARCH kept_keys USING")


class Model:
    """The records, and what must be so: the last job of each key, and until when that has it."""

    def __init__(self, path):
        self.path = path
        self.store = Store(path)
        self.now = 0
        self.numbers = itertools.count()
        self.jobs = {}  # key → record
        self.cleaned_at = {}  # key → when its job was cleaned

    @property
    def kept_since(self):
        return self.now - KEPT

    def submit(self, key):
        name, principal = key
        known = self.jobs.get(key)
        job_id = str(next(self.numbers))
        is_taken = known is not None and self.cleaned_at.get(key, self.now) >= self.kept_since
        found = self.store.keys.find(name, principal, kept_since=self.kept_since)
        assert (found is not None) is is_taken
        if is_taken:
            assert found[0] == known.id
            with pytest.raises(DuplicateKey):
                self.insert(job_id, key)
        else:
            self.jobs[key] = self.insert(job_id, key)
            self.cleaned_at.pop(key, None)

    def insert(self, job_id, key):
        return submitted(
            self.store, job_id, key=key[0], principal=key[1], kept_since=self.kept_since
        )

    def clean(self, key):
        if key in self.jobs and key not in self.cleaned_at:
            clean(self.store, self.jobs[key], at=self.now)
            self.cleaned_at[key] = self.now

    def retain(self, _key):
        self.store.keys.forget(before=self.kept_since, limit=1)

    def wait(self, _key):
        self.now += 4

    def reopen(self, _key):
        self.store.close()
        self.store = Store(self.path)


steps = st.tuples(
    st.sampled_from(["submit", "submit", "clean", "clean", "retain", "wait", "reopen"]),
    st.tuples(st.sampled_from("kl"), st.sampled_from([None, "ann"])),
)


@given(st.lists(steps, max_size=40))
@settings(max_examples=40)
def test_a_key_leads_to_its_job_until_it_expires(tmp_path_factory, sequence):
    model = Model(tmp_path_factory.mktemp("keys") / "jobs.db")
    with contextlib.closing(model.store):
        for step, key in sequence:
            getattr(model, step)(key)
        for key in model.jobs:
            model.submit(key)
    model.store.close()


def test_no_kill_makes_a_key_lead_nowhere(tmp_path):
    path = tmp_path / "jobs.db"
    choice, told = random.Random(3), {}
    for round_number in range(4):
        program = Path(__file__).with_name("keying_child.py")
        with subprocess.Popen(
            [sys.executable, str(program), str(path), str(round_number)],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            for _ in range(choice.randrange(1, 200)):
                assert child.stdout.readline()
            child.kill()
            child.wait()
            # Whatever it has printed is committed, also what wasn't read before the kill.
            with contextlib.closing(Store(path)) as store:
                rows = store.connection.execute(
                    "SELECT idempotency_key, id FROM jobs WHERE idempotency_key IS NOT NULL"
                    " UNION ALL SELECT key, job FROM kept_keys"
                ).fetchall()
                told.update(rows)
                assert len(rows) == len(told)
                for line in child.stdout.read().splitlines()[:-1]:
                    _, key, job_id = line.split("\t")
                    assert told[key] == job_id
                for key, job_id in told.items():
                    assert store.keys.find(key, kept_since=3) == (job_id, b"h")
                    with pytest.raises(DuplicateKey):
                        submitted(store, "x", key=key, kept_since=3)

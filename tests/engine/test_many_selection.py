"""Which jobs join a stream of many: the same that a list selects, decided on their records."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.engine.many_selection import JoiningJobs
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.states import FINISHED, JOB_STATES, LIVE, Reason, State
from service.jobs.visibility import ALL
from service.store import Selection, Store

NAMES = st.sampled_from([None, "", "a", "ab", "b"])
LABELS = st.dictionaries(st.sampled_from("kl"), st.sampled_from(["", "v", "w"]), max_size=2)
RECORDS = st.builds(
    dict,
    name=NAMES,
    labels=LABELS,
    created_at=st.integers(0, 3),
    state=st.sampled_from([State.RUNNING, State.EXITED, State.KILLED]),
    exit_code=st.sampled_from([None, 0, 1]),
    reason=st.sampled_from([None, Reason.REQUESTED, Reason.TIMEOUT]),
)
SELECTIONS = st.builds(
    Selection,
    states=st.sampled_from([frozenset(JOB_STATES), frozenset({State.RUNNING}), FINISHED]),
    name=st.sampled_from([None, "a", "b"]),
    name_prefix=st.sampled_from([None, "", "a"]),
    id_prefix=st.sampled_from([None, "", "1"]),
    labels=LABELS.map(lambda labels: tuple(labels.items())),
    since=st.none() | st.integers(0, 3),
    until=st.none() | st.integers(0, 3),
    exit_code=st.sampled_from([None, 0, 1]),
    has_failed=st.booleans(),
    reasons=st.sampled_from([None, frozenset({Reason.TIMEOUT})]),
)


def a_record(number, *, state, **fields):
    finished_at = 9 if state in FINISHED else None
    if state not in FINISHED:
        fields |= {"exit_code": None, "reason": None}
    return JobRecord(
        id=f"{number}",
        state=state,
        finished_at=finished_at,
        spec=b"{}",
        commands=(CommandOutcome(),),
        **fields,
    )


@given(st.lists(RECORDS, max_size=8), SELECTIONS)
def test_what_joins_is_what_a_list_of_its_states_has(tmp_path_factory, made, selection):
    path = tmp_path_factory.mktemp("records") / "jobs.db"
    with contextlib.closing(Store(path)) as store:
        records = [a_record(number, **fields) for number, fields in enumerate(made)]
        for record in records:
            stored = store.insert(record)
            store.update(
                replace(record, seq=stored.seq, revision=stored.revision), before=record.state
            )
        listed = store.lists.ids(selection, ALL, after=0, last=99, limit=99)
        joining = JoiningJobs(selection)
        joined = {r.id for r in records if r.state in selection.states and joining.joins(r)}
        assert joined == {job_id for _, job_id in listed}


def ended(**fields):
    return a_record(1, state=State.EXITED, created_at=1, **fields)


def test_one_that_ran_and_ended_while_nobody_looked_joins():
    started = ended(started_at=5)
    refused = ended(started_at=None)
    for states, expected in (
        (LIVE, (True, True)),
        (frozenset({State.RUNNING}), (True, False)),
        (frozenset({State.KILLED}), (False, False)),
        (frozenset({State.EXITED}), (True, True)),
    ):
        joining = JoiningJobs(Selection(states=states))
        assert (joining.joins(started), joining.joins(refused)) == expected, states


def test_a_pending_job_joins_later():
    pending = JobRecord(id="a", created_at=1, spec=b"{}", commands=(CommandOutcome(),))
    assert not JoiningJobs(Selection(states=frozenset(JOB_STATES))).joins(pending)


def test_another_selection_has_another_checksum():
    first = JoiningJobs(Selection(name="a"))
    assert first.checksum() == JoiningJobs(Selection(name="a", since=5)).checksum()
    assert first.checksum() != JoiningJobs(Selection(name="b")).checksum()
    assert first.checksum() != JoiningJobs(Selection(name="a"), "since=5").checksum()

"""The lifecycle table: nothing but it changes a state, and service/README.md draws what it says."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import IllegalTransition
from service.jobs import lifecycle
from service.jobs.lifecycle import TRANSITIONS, TRIGGERS
from service.jobs.states import FINISHED, JOB_STATES, LIVE, State

# The contract, written down a second time on purpose: state and trigger lead to a state.
CONTRACT = {
    ("pending", "start"): "running",
    ("pending", "refuse"): "exited",
    ("pending", "kill"): "killed",
    ("running", "exit"): "exited",
    ("running", "kill"): "killed",
}


class Job(lifecycle.Lifecycle):
    def __init__(self, state=State.PENDING):
        self.state = state


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(JOB_STATES, TRIGGERS)))
def test_each_trigger_in_each_state_does_what_the_contract_says(state, trigger):
    expected = CONTRACT.get((state.value, trigger))
    job = Job(state)
    if expected is None:
        with pytest.raises(IllegalTransition) as refused:
            getattr(job, trigger)()
        assert (refused.value.trigger, refused.value.state) == (trigger, state.value)
        assert job.state == state.value
    else:
        getattr(job, trigger)()
        assert job.state == expected


@given(st.lists(st.sampled_from(TRIGGERS), max_size=30))
def test_random_triggers_never_leave_the_table(triggers):
    job = Job()
    for trigger in triggers:
        before = job.state
        try:
            getattr(job, trigger)()
        except IllegalTransition:
            assert job.state == before
            assert (before, trigger) not in CONTRACT
        else:
            assert job.state == CONTRACT[before, trigger]


@given(st.sampled_from(sorted(FINISHED)), st.lists(st.sampled_from(TRIGGERS), max_size=10))
def test_terminal_states_never_change(state, triggers):
    job = Job(state)
    for trigger in triggers:
        with pytest.raises(IllegalTransition):
            getattr(job, trigger)()
    assert job.state == state.value


def test_a_job_has_no_trigger_beside_those_of_the_table():
    job = Job()
    assert {name for name in dir(job) if not name.startswith("_")} == {"state", *TRIGGERS}
    with pytest.raises(AttributeError):
        job.to_pending()


def test_many_jobs_share_one_machine_and_no_state():
    jobs = [Job() for _ in range(100)]
    jobs[3].start()
    assert [job.state for job in jobs].count("running") == 1
    assert jobs[3].state == "running"


def test_live_and_finished_are_all_states_of_a_job():
    assert set(JOB_STATES) == LIVE | FINISHED
    assert not LIVE & FINISHED
    assert [state for state in JOB_STATES if state.is_live] == [State.PENDING, State.RUNNING]


def test_the_diagram_draws_every_transition_and_both_ends():
    lines = [line.strip() for line in lifecycle.diagram().splitlines()]
    assert lines[0] == "stateDiagram-v2"
    arrows = [
        f"{source} --> {dest}: {trigger} ({why})" for trigger, source, dest, why in TRANSITIONS
    ]
    ends = ["[*] --> pending", "exited --> [*]", "killed --> [*]"]
    assert sorted(lines[1:]) == sorted(arrows + ends)

"""The table of phases and inputs: the machine does what it says, whatever comes in whatever order."""

import copy
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.supervisor.job.command import Command
from service.supervisor.job.effects import SendSignal, Timer
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import (
    ACCEPTS,
    IGNORED,
    NEXT,
    IllegalInput,
    Input,
    Phase,
    check_next,
    diagram,
    takes,
)
from service.supervisor.job.signalling import why_not

AT = 7
SECONDS = st.floats(0.1, 100)
STATUSES = st.integers(-64, 255)

# What each input is given, besides the time.
ARGUMENTS = {
    Input.WAIT_FOR_SLOT: st.tuples(SECONDS, SECONDS),
    Input.START: st.tuples(
        st.builds(
            Command,
            st.integers(0, 3),
            st.sampled_from(["always", "nonzero", "never"]),
            probe_if=st.sampled_from([(), ((125, 255),)]),
            needs_cleanup=st.booleans(),
        )
    ),
    Input.SPAWNED: st.fixed_dictionaries(
        {
            "streams": st.just(2),
            "timeout_s": SECONDS | st.just(0),
            "grace_s": SECONDS,
            "at": st.just(AT),
            "idle_s": SECONDS | st.just(0),
        }
    ),
    Input.REFUSED: st.tuples(st.just("no"), st.just(AT)),
    Input.WAIT_STATUS: st.tuples(STATUSES, st.just(AT)),
    Input.PROBE_SPAWNED: st.tuples(st.just(2)),
    Input.PROBED: st.tuples(
        STATUSES,
        st.sampled_from([{}, {"error": "no image"}, {"complete": False}]),
        st.just(AT),
    ),
    Input.LOG_FAILED: st.tuples(st.just("it broke"), st.just(AT), SECONDS),
    Input.CLEANED_UP: st.fixed_dictionaries({"ok": st.booleans()}),
    Input.KILL: st.tuples(
        st.builds(
            KillRequest,
            st.sampled_from([signal.SIGTERM, signal.SIGKILL]),
            SECONDS | st.just(0),
            st.just("requested"),
            st.just(AT),
        ),
        SECONDS,
    ),
    Input.SIGNAL: st.tuples(st.integers(1, 64)),
    Input.TREE_CHECKED: st.fixed_dictionaries({"is_alive": st.booleans(), "now": SECONDS}),
}
TIMER = st.fixed_dictionaries(
    {"at": st.just(AT), "now": SECONDS, "stalled": st.booleans(), "quiet_s": SECONDS}
)


def legal(phase):
    """Inputs that may come in this phase; one that is ignored, now and then."""
    return [*ACCEPTS[phase], *(one for where, one in IGNORED if where is phase)]


def inputs(data, machine, *, only_legal):
    """The next input, with what it is given."""
    names = legal(machine.phase) if only_legal else [*Input, *Timer]
    given = data.draw(st.sampled_from(names))
    if isinstance(given, Timer):
        return given, (given,), data.draw(TIMER)
    if given is Input.STREAM_ENDED:
        still_open = [number for number, count in machine.streams.open.items() if count]
        return given, (still_open[0] if still_open else None, AT), {}
    drawn = data.draw(ARGUMENTS[given])
    return given, *(((), drawn) if isinstance(drawn, dict) else (drawn, {}))


def give(machine, given, arguments, options):
    handler = machine.timer_fired if isinstance(given, Timer) else getattr(machine, given.value)
    return handler(*arguments, **options)


@settings(deadline=None, max_examples=60)  # of many inputs each
@given(st.data(), st.booleans())
def test_random_inputs_never_leave_the_table(data, only_legal):
    machine = JobMachine()
    for _ in range(data.draw(st.integers(1, 30))):
        if only_legal and not legal(machine.phase):
            return
        given, arguments, options = inputs(data, machine, only_legal=only_legal)
        phase, before = machine.phase, copy.deepcopy(machine)
        if given is Input.STREAM_ENDED and arguments[0] is None and given in ACCEPTS[phase]:
            continue  # no stream is open: none can end
        if given in ACCEPTS[phase]:
            give(machine, given, arguments, options)
            assert machine.phase in (phase, *ACCEPTS[phase][given])
        elif (phase, given) in IGNORED:
            assert give(machine, given, arguments, options) == []
            assert machine == before
        else:
            with pytest.raises(IllegalInput):
                give(machine, given, arguments, options)
            assert machine == before


@pytest.mark.parametrize("phase", Phase)
def test_each_input_is_accepted_or_ignored_with_a_reason_or_raises(phase):
    for one in (*Input, *Timer):
        is_accepted, reason = one in ACCEPTS[phase], IGNORED.get((phase, one))
        assert not (is_accepted and reason)
        if is_accepted or reason:
            assert takes(phase, one) is is_accepted
        else:
            with pytest.raises(IllegalInput) as raised:
                takes(phase, one)
            assert (raised.value.phase, raised.value.given) == (phase, one)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.STARTING])
def test_a_signal_is_refused_where_it_would_change_nothing(phase):
    machine = JobMachine(phase, Command(0))
    effects = machine.request_signal(signal.SIGHUP)
    assert effects == (
        [] if why_not(machine, signal.SIGHUP) else [SendSignal(signal.SIGHUP, but_wrappers=False)]
    )
    assert machine == JobMachine(phase, Command(0))


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.PROBING, Phase.DRAINING, Phase.IDLE])
def test_a_signal_that_is_not_passed_on_is_refused_while_the_process_between_is_there(phase):
    machine = JobMachine(phase, Command(0, passes_on=(signal.SIGHUP,)))
    is_there = phase in (Phase.RUNNING, Phase.PROBING)
    assert why_not(machine, signal.SIGHUP) is None
    assert why_not(machine, signal.SIGSTOP) == ("not_passed_on" if is_there else None)


def test_every_input_is_accepted_somewhere_and_every_phase_is_reached():
    assert {one for accepted in ACCEPTS.values() for one in accepted} == {*Input, *Timer}
    reached, todo = set(), [Phase.PENDING]
    while todo:
        phase = todo.pop()
        reached.add(phase)
        todo += NEXT[phase] - reached
    assert reached == set(Phase)
    assert [phase for phase in Phase if not NEXT[phase]] == [Phase.FINISHED]


def test_a_phase_that_may_not_follow_is_not_entered():
    machine = JobMachine()
    with pytest.raises(ValueError, match="finished after pending"):
        machine._enter(Phase.FINISHED)
    assert machine.phase is Phase.PENDING
    check_next(Phase.CLOSING, Phase.FINISHED)


def test_each_input_has_a_method_of_its_name():
    assert all(callable(getattr(JobMachine, one.value)) for one in Input)


def test_the_diagram_draws_each_step_of_the_table():
    drawn = diagram().splitlines()
    assert drawn[:2] == ["stateDiagram-v2", "    [*] --> pending"]
    assert "    running --> closing: stuck timer" in drawn
    arrows = [line.split(":")[0].split(" --> ") for line in drawn[2:-1]]
    assert {(a.strip(), b) for a, b in arrows} == {
        (a, b) for a, after in NEXT.items() for b in after
    }
    assert drawn[-1] == "    finished --> [*]"

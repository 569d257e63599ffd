"""Clean-ups and verdicts, in every order: one clean-up a command, one end of the job."""

import itertools
import json
import signal

import pytest

from service.supervisor.job.effects import (
    AbandonCleanUp,
    Arm,
    CleanUp,
    CloseLog,
    Emit,
    Judge,
    SignalTree,
    Timer,
)
from service.supervisor.job.machine import Course, KillRequest, Phase
from service.supervisor.job.teardown import ATTEMPTS, PAUSE_S, TRY_S, Cleaning

UNCLEAR = ((-64, -1), (125, 255))


def of(kind, actions):
    return [action for action in actions if isinstance(action, kind)]


def events(actions):
    return [(action.name, action.fields) for action in of(Emit, actions)]


def running(*, end_if="always", verdict_if=UNCLEAR):
    course = Course()
    course.start(0, end_if=end_if, drain_s=2.0, verdict_if=verdict_if, cleans=True)
    course.spawned(streams=2, timeout_s=0, grace_s=10, at=1)
    return course


def request_kill(course, grace_s=10.0):
    return course.request_kill(KillRequest(signal.SIGTERM, grace_s, "requested", 5), 100.0)


# Clean-ups alone


def test_one_that_works_is_done_once():
    cleaning = Cleaning()
    assert cleaning.want(0, thorough=False) == [
        Arm(Timer.CLEANING, TRY_S),
        CleanUp(0, thorough=False),
    ]
    assert cleaning.want(0, thorough=True) == []
    assert not cleaning.is_over
    assert of(CleanUp, cleaning.ended(ok=True)) == []
    assert cleaning.is_over
    assert cleaning.want(0, thorough=True) == []
    assert not cleaning.failed


def test_one_that_fails_is_tried_again_thoroughly_and_gives_up_in_the_end():
    cleaning = Cleaning()
    cleaning.want(0, thorough=False)
    for _ in range(ATTEMPTS - 1):
        assert cleaning.ended(ok=False) == [Arm(Timer.CLEANING, PAUSE_S)]
        assert of(CleanUp, cleaning.timer_passed()) == [CleanUp(0, thorough=True)]
    cleaning.ended(ok=False)
    assert cleaning.is_over
    assert cleaning.failed


def test_one_that_takes_too_long_is_abandoned_and_tried_again():
    cleaning = Cleaning()
    cleaning.want(0, thorough=True)
    assert cleaning.timer_passed() == [AbandonCleanUp(), Arm(Timer.CLEANING, PAUSE_S)]
    assert of(CleanUp, cleaning.timer_passed()) == [CleanUp(0, thorough=True)]


def test_they_run_one_after_the_other_also_after_an_upgrade():
    cleaning = Cleaning()
    cleaning.want(0, thorough=False)
    assert cleaning.want(1, thorough=True) == []
    cleaning = Cleaning.from_state(json.loads(json.dumps(cleaning.state())))
    assert of(CleanUp, cleaning.ended(ok=True)) == [CleanUp(1, thorough=True)]
    assert cleaning.ended(ok=True)
    assert cleaning.is_over


# With the course of a job


@pytest.mark.parametrize("order", list(itertools.permutations(["out", "err", "status"])))
@pytest.mark.parametrize("is_seen_first", [False, True])
def test_a_plain_end_waits_for_its_clean_up_and_is_not_judged(order, is_seen_first):
    course, actions = running(), []
    for step in order:
        assert of(CleanUp, actions) == []
        actions += course.wait_status(0, 2) if step == "status" else course.stream_ended(0, 2)
    last = [lambda: course.tree_seen(is_alive=False, now=100.0), lambda: course.cleaned_up(ok=True)]
    for step in last if is_seen_first else reversed(last):
        assert course.phase is not Phase.FINISHED
        actions += step()
    assert of(Judge, actions) == []
    assert of(CleanUp, actions) == [CleanUp(0, thorough=False)]
    assert [name for name, _ in events(actions)] == ["ended", "finished"]
    assert of(CloseLog, actions) == [CloseLog(complete=True)]
    assert course.phase is Phase.FINISHED


@pytest.mark.parametrize("client", [125, 137, -9])
@pytest.mark.parametrize(
    ("report", "status", "fields"),
    [
        ({}, 7, {"status": 7}),
        ({"oom_killed": True}, 0, {"status": 0, "oom_killed": True}),
        ({"error": "No image."}, 7, {"status": None, "error": "No image."}),
        ({"complete": False}, -11, {"status": -11}),
    ],
)
@pytest.mark.parametrize("is_upgraded", [False, True])
def test_an_unclear_end_is_what_the_verdict_says(client, report, status, fields, is_upgraded):
    course = running()
    actions = course.wait_status(client, 2)
    assert actions == [Judge(0, client)]
    course.judging(streams=2)
    for _ in range(2):
        assert course.stream_ended(0, 2) == []
    if is_upgraded:
        course = Course.from_state(json.loads(json.dumps(course.state())))
    actions = course.judged(status, report, 3)
    for _ in range(2):
        actions += course.stream_ended(0, 3)
    actions += course.tree_seen(is_alive=False, now=100.0)
    assert of(CleanUp, actions) == [CleanUp(0, thorough=True)]
    actions += course.cleaned_up(ok=True)
    (name, ended), (_, finished) = events(actions)
    assert name == "ended"
    assert fields.items() <= ended.items()
    assert not ended["killed"]
    assert finished == {"verdict": "exited", "complete": report.get("complete", True)}


def test_an_error_of_the_verdict_ends_the_job_unless_it_may_go_on():
    for end_if, ends in [("always", True), ("nonzero", True), ("never", False)]:
        course = running(end_if=end_if)
        course.wait_status(125, 2)
        actions = course.judged(125, {"error": "No image."}, 3)
        for _ in range(2):
            actions += course.stream_ended(0, 3)
        assert events(actions)[0][1]["ends"] is ends


def test_a_kill_while_it_is_judged_is_a_kill():
    course = running()
    course.wait_status(-9, 2)
    course.judging(streams=2)
    assert SignalTree(signal.SIGTERM) in request_kill(course)
    actions = course.judged(143, {}, 3)
    for _ in range(4):
        actions += course.stream_ended(0, 3)
    actions += course.tree_seen(is_alive=False, now=100.0) + course.cleaned_up(ok=True)
    assert events(actions)[0][1]["killed"]
    assert events(actions)[-1] == ("finished", {"verdict": "killed", "complete": True})


def test_a_verdict_that_comes_after_the_signal_of_a_kill_gets_it_too():
    """The signal found only the client, which was dead: nothing of the command would get it."""
    course = running()
    assert SignalTree(signal.SIGTERM) in request_kill(course)
    assert course.wait_status(-9, 2) == [Judge(0, -9, signal.SIGTERM)]


@pytest.mark.parametrize("ok", [True, False])
def test_kill_cleans_up_at_once_and_the_receipt_says_whether_that_worked(ok):
    course = running()
    actions = request_kill(course, grace_s=0)
    assert of(CleanUp, actions) == [CleanUp(0, thorough=True)]
    # The client's own end isn't judged any more.
    actions = course.wait_status(-9, 3)
    assert of(Judge, actions) == []
    for _ in range(2):
        actions += course.stream_ended(0, 3)
    actions += course.tree_seen(is_alive=False, now=100.0)
    assert course.phase is Phase.CLOSING
    for _ in range(1 if ok else ATTEMPTS):
        actions += course.cleaned_up(ok=ok)
        if course.phase is not Phase.FINISHED:
            actions += course.timer_passed(Timer.CLEANING, at=4, now=101.0, stalled=False)
    assert course.phase is Phase.FINISHED
    assert course.receipt(1)["verified_gone"] is ok
    assert [name for name, _ in events(actions)] == ["ended", "finished"]

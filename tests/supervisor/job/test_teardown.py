"""Cleanups and status probes, in every order: one cleanup a command, one end of the job."""

import itertools
import json
import signal

import pytest

from service.supervisor.job.command import Command
from service.supervisor.job.effects import (
    AbandonCleanUp,
    Arm,
    CleanUp,
    CloseLog,
    Emit,
    Finish,
    RunProbe,
    SignalTree,
    Timer,
)
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import Phase
from service.supervisor.job.teardown import ATTEMPTS, PAUSE_S, TRY_S, Teardown
from service.supervisor.snapshot import from_json, to_json

UNCLEAR = ((-64, -1), (125, 255))


def of(kind, effects):
    return [effect for effect in effects if isinstance(effect, kind)]


def events(effects):
    """(name, fields) of each event, in order."""
    told = []
    for effect in effects:
        match effect:
            case Emit({"name": name, **fields}):
                told.append((name, fields))
            case Finish(outcome, output_complete):
                fields = {"outcome": outcome, "output_complete": output_complete}
                told.append(("finished", fields))
    return told


def running(*, end_if="always", probe_if=UNCLEAR):
    machine = JobMachine()
    machine.start(Command(0, end_if, probe_if=probe_if, needs_cleanup=True))
    machine.spawned(streams=2, timeout_s=0, grace_s=10, at=1)
    return machine


def request_kill(machine, grace_s=10.0):
    return machine.request_kill(KillRequest(signal.SIGTERM, grace_s, "requested", 5), 100.0)


# Cleanups alone


def test_a_cleanup_that_succeeds_runs_once():
    teardown = Teardown()
    assert teardown.request(0, force=False) == [
        Arm(Timer.TEARDOWN, TRY_S),
        CleanUp(0, force=False),
    ]
    assert teardown.request(0, force=True) == []
    assert not teardown.is_over
    assert of(CleanUp, teardown.ended(ok=True)) == []
    assert teardown.is_over
    assert teardown.request(0, force=True) == []
    assert not teardown.failed


def test_a_cleanup_that_fails_is_tried_again_by_force_and_given_up_in_the_end():
    teardown = Teardown()
    teardown.request(0, force=False)
    for _ in range(ATTEMPTS - 1):
        assert teardown.ended(ok=False) == [Arm(Timer.TEARDOWN, PAUSE_S)]
        assert of(CleanUp, teardown.timer_fired()) == [CleanUp(0, force=True)]
    teardown.ended(ok=False)
    assert teardown.is_over
    assert teardown.failed


def test_a_cleanup_that_takes_too_long_is_abandoned_and_tried_again():
    teardown = Teardown()
    teardown.request(0, force=True)
    assert teardown.timer_fired() == [AbandonCleanUp(), Arm(Timer.TEARDOWN, PAUSE_S)]
    assert of(CleanUp, teardown.timer_fired()) == [CleanUp(0, force=True)]


def test_cleanups_run_one_after_the_other_also_after_an_upgrade():
    teardown = Teardown()
    teardown.request(0, force=False)
    assert teardown.request(1, force=True) == []
    teardown = from_json(Teardown, json.loads(json.dumps(to_json(teardown))))
    assert of(CleanUp, teardown.ended(ok=True)) == [CleanUp(1, force=True)]
    assert teardown.ended(ok=True)
    assert teardown.is_over


# With the machine of a job


@pytest.mark.parametrize("order", list(itertools.permutations(["out", "err", "status"])))
@pytest.mark.parametrize("is_seen_first", [False, True])
def test_an_ordinary_end_waits_for_its_cleanup_and_is_not_probed(order, is_seen_first):
    machine, effects = running(), []
    for step in order:
        assert of(CleanUp, effects) == []
        effects += machine.wait_status(0, 2) if step == "status" else machine.stream_ended(0, 2)
    last = [
        lambda: machine.tree_checked(is_alive=False, now=100.0),
        lambda: machine.cleaned_up(ok=True),
    ]
    for step in last if is_seen_first else reversed(last):
        assert machine.phase is not Phase.FINISHED
        effects += step()
    assert of(RunProbe, effects) == []
    assert of(CleanUp, effects) == [CleanUp(0, force=False)]
    assert [name for name, _ in events(effects)] == ["ended", "finished"]
    assert of(CloseLog, effects) == [CloseLog(complete=True)]
    assert machine.phase is Phase.FINISHED


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
def test_an_unclear_end_is_what_the_status_probe_reports(
    client, report, status, fields, is_upgraded
):
    machine = running()
    effects = machine.wait_status(client, 2)
    assert effects == [RunProbe(0, client)]
    machine.probe_spawned(streams=2)
    for _ in range(2):
        assert machine.stream_ended(0, 2) == []
    if is_upgraded:
        machine = from_json(JobMachine, json.loads(json.dumps(to_json(machine))))
    effects = machine.probed(status, report, 3)
    for _ in range(2):
        effects += machine.stream_ended(0, 3)
    effects += machine.tree_checked(is_alive=False, now=100.0)
    assert of(CleanUp, effects) == [CleanUp(0, force=True)]
    effects += machine.cleaned_up(ok=True)
    (name, ended), (_, finished) = events(effects)
    assert name == "ended"
    assert fields.items() <= ended.items()
    assert not ended["killed"]
    assert finished == {"outcome": "exited", "output_complete": report.get("complete", True)}


def test_an_error_of_the_probe_ends_the_job_unless_it_may_go_on():
    for end_if, ends in [("always", True), ("nonzero", True), ("never", False)]:
        machine = running(end_if=end_if)
        machine.wait_status(125, 2)
        effects = machine.probed(125, {"error": "No image."}, 3)
        for _ in range(2):
            effects += machine.stream_ended(0, 3)
        assert events(effects)[0][1]["ends_job"] is ends


def test_a_kill_while_the_probe_runs_is_a_kill():
    machine = running()
    machine.wait_status(-9, 2)
    machine.probe_spawned(streams=2)
    assert SignalTree(signal.SIGTERM) in request_kill(machine)
    effects = machine.probed(143, {}, 3)
    for _ in range(4):
        effects += machine.stream_ended(0, 3)
    effects += machine.tree_checked(is_alive=False, now=100.0) + machine.cleaned_up(ok=True)
    assert events(effects)[0][1]["killed"]
    assert events(effects)[-1] == ("finished", {"outcome": "killed", "output_complete": True})


def test_a_probe_that_starts_after_the_signal_of_a_kill_gets_it_too():
    """The signal found only the client, which was dead: nothing of the command would get it."""
    machine = running()
    assert SignalTree(signal.SIGTERM) in request_kill(machine)
    assert machine.wait_status(-9, 2) == [RunProbe(0, -9, signal.SIGTERM)]


@pytest.mark.parametrize("ok", [True, False])
def test_kill_cleans_up_at_once_and_the_receipt_says_whether_that_worked(ok):
    machine = running()
    effects = request_kill(machine, grace_s=0)
    assert of(CleanUp, effects) == [CleanUp(0, force=True)]
    # The client's own end isn't probed any more.
    effects = machine.wait_status(-9, 3)
    assert of(RunProbe, effects) == []
    for _ in range(2):
        effects += machine.stream_ended(0, 3)
    effects += machine.tree_checked(is_alive=False, now=100.0)
    assert machine.phase is Phase.CLOSING
    for _ in range(1 if ok else ATTEMPTS):
        effects += machine.cleaned_up(ok=ok)
        if machine.phase is not Phase.FINISHED:
            effects += machine.timer_fired(Timer.TEARDOWN, at=4, now=101.0, stalled=False)
    assert machine.phase is Phase.FINISHED
    assert machine.receipt(1)["verified_gone"] is ok
    assert [name for name, _ in events(effects)] == ["ended", "finished"]


# What the status probe says of the end, and of what is left


def probed(report, status=0):
    machine = running(probe_if=((-64, 255),))
    machine.wait_status(status, 2)
    machine.probe_spawned(2)
    effects = machine.probed(report.get("status", status), report, 3)
    for _ in range(4):
        effects += machine.stream_ended(0, 4)
    return machine, effects


def test_what_is_seen_gone_needs_no_cleanup():
    assert of(CleanUp, probed({})[1]) == [CleanUp(0, force=True)]
    machine, effects = probed({"gone": True})
    assert of(CleanUp, effects) == []
    assert events(machine.tree_checked(is_alive=False, now=5.0))[-1][0] == "finished"


def test_an_error_beside_a_status_keeps_it_and_one_alone_has_none():
    ((_, both),) = [
        e for e in events(probed({"error": "it was cancelled"}, status=0)[1]) if e[0] == "ended"
    ]
    assert (both["status"], both["error"]) == (None, "it was cancelled")
    effects = probed({"error": "it was cancelled", "status": 15})[1]
    ((_, both),) = [e for e in events(effects) if e[0] == "ended"]
    assert (both["status"], both["error"]) == (15, "it was cancelled")


def test_facts_are_told_with_the_end():
    ((_, ended),) = [e for e in events(probed({"facts": {"Where": "n1"}})[1]) if e[0] == "ended"]
    assert ended["facts"] == {"Where": "n1"}

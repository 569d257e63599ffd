"""A job that is silent for too long, or pending for too long, is ended: by the supervisor, whoever
else lives.
"""

import pytest

from service.supervisor.job.command import Command
from service.supervisor.job.effects import Arm, Disarm, Finish, Timer
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import Phase

NOW = 100.0


@pytest.fixture
def ready(fifo):
    return fifo()


@pytest.fixture
def go(fifo):
    return fifo()


def upgraded(supervisor, client):
    """The supervisor has become the installed code; a connection to it."""
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    return supervisor.connect()


# ------------------------------------------------------------------------------------- decisions


def running(idle_s):
    machine = JobMachine()
    machine.start(Command(0, "nonzero"))
    effects = machine.spawned(streams=2, timeout_s=0, grace_s=5, idle_s=idle_s, at=1)
    return machine, effects


def passed(machine, timer, *, quiet_s=0.0, stalled=False):
    return machine.timer_fired(timer, at=2, now=NOW, stalled=stalled, quiet_s=quiet_s)


def test_silence_counts_from_the_last_byte():
    machine, effects = running(60.0)
    assert Arm(Timer.IDLE, 60.0) in effects
    assert passed(machine, Timer.IDLE, quiet_s=20.0) == [Arm(Timer.IDLE, 40.0)]
    assert machine.kill is None
    passed(machine, Timer.IDLE, quiet_s=60.0)
    assert (machine.kill.reason, machine.kill.grace_s) == ("idle-timeout", 5)


def test_what_a_full_disk_keeps_back_is_no_silence():
    machine, _ = running(60.0)
    assert passed(machine, Timer.IDLE, quiet_s=1000.0, stalled=True) == [Arm(Timer.IDLE, 60.0)]


def test_between_two_commands_nothing_is_silent():
    machine, _ = running(60.0)
    machine.stream_ended(0, at=2)
    machine.stream_ended(0, at=2)
    machine.wait_status(0, at=2)
    assert machine.phase is Phase.IDLE
    assert passed(machine, Timer.IDLE, quiet_s=1000.0) == [Arm(Timer.IDLE, 60.0)]


def test_a_job_that_is_being_killed_has_no_timeouts():
    machine, _ = running(60.0)
    kill = passed(machine, Timer.IDLE, quiet_s=60.0)
    assert {Disarm(Timer.IDLE), Disarm(Timer.DEADLINE)} <= set(kill)


def test_a_first_command_ends_the_wait_for_it():
    machine = JobMachine()
    assert machine.wait_for_slot(3.0, 5.0) == [Arm(Timer.QUEUE, 3.0)]
    assert Disarm(Timer.QUEUE) in machine.start(Command(0))


def test_a_job_that_waited_too_long_never_starts():
    machine = JobMachine()
    machine.wait_for_slot(3.0, 5.0)
    effects = passed(machine, Timer.QUEUE)
    effects += machine.tree_checked(is_alive=False, now=NOW)
    assert [effect.outcome for effect in effects if isinstance(effect, Finish)] == ["killed"]
    assert machine.start(Command(0)) == []
    assert machine.receipt(0)["reason"] == "queue-timeout"


# ------------------------------------------------------------------------------------ real jobs


def test_a_silent_job_is_ended_and_keeps_its_output(client, job):
    client.run(job, "echo partial; exec sleep 1000", idle_timeout_s=0.3)
    assert client.event(job, "kill_requested")["reason"] == "idle-timeout"
    event = client.event(job, "finished")
    assert (event["outcome"], event["output_complete"]) == ("killed", True)
    assert event["kill"]["verified_gone"]
    assert client.output(job) == b"partial\n"


# Seconds, shortest first: on a machine that stands still for a while only the longer ones show what
# is meant. A fault shows at each.
SCALES_S = (1.0, 5.0, 25.0, 125.0)


def test_output_of_either_stream_is_a_sign_of_life(client, job):
    for number, idle_s in enumerate(SCALES_S):
        # Together longer than it may be silent.
        speak = f"for i in {{1..8}}; do sleep {idle_s / 5}; echo . >&$((i % 2 + 1)); done"
        client.run(f"{job}-{number}", speak, idle_timeout_s=idle_s)
        event = client.event(f"{job}-{number}", "finished")
        client.send("release", job=f"{job}-{number}")
        if event["outcome"] == "exited":
            return
    pytest.fail(f"ended while it spoke: {event}")


def test_silence_goes_on_over_an_upgrade(plain_supervisor, ready):
    client = plain_supervisor.connect()
    for number, idle_s in enumerate(SCALES_S):
        job = f"job-{number}"
        client.run(job, f"echo > {ready}; exec sleep 1000", idle_timeout_s=idle_s)
        ready.line()
        client = upgraded(plain_supervisor, client)
        assert client.hello["upgrades"] == number + 1
        events = client.expect("adopt", job=job)["events"]
        was_first = events[-1]["name"] != "finished"
        if was_first:
            events.append(client.event(job, "finished"))
        assert events[-1]["kill"]["reason"] == "idle-timeout"
        client.send("release", job=job)
        if was_first:
            return
    pytest.fail("each job was ended before the upgrade")


def test_a_job_that_stays_pending_too_long_is_killed_unstarted(client, job, go):
    client.introduce("worker", 1)
    client.run(job, f"read < {go}")
    client.request("claim", job="late", queue_timeout_s=0.2, grace_s=7)
    killing = client.event("late", "kill_requested")
    assert (killing["reason"], killing["grace_s"]) == ("queue-timeout", 7)
    event = client.event("late", "finished")
    assert (event["outcome"], event["kill"]["found"]) == ("killed", 0)
    client.start("late", "echo no")
    client.sync()
    assert not (client.state_dir / "jobs" / "late").exists()
    client.send("release", job="late")
    go.go()
    client.event(job, "finished")
    client.introduce("worker")


def test_a_pending_job_is_ended_while_no_worker_lives_and_after_an_upgrade(plain_supervisor, go):
    client = plain_supervisor.connect(max_running=1)
    client.run("first", f"read < {go}")
    for number, queue_s in enumerate(SCALES_S):
        job = f"late-{number}"
        client.request("claim", job=job, queue_timeout_s=queue_s, grace_s=7)
        client = upgraded(plain_supervisor, client)
        was_first = client.expect("adopt", job=job)["events"] == []
        client.close()
        client = plain_supervisor.connect(max_running=1)
        events = client.expect("adopt", job=job)["events"]
        ended = [event for event in events if event["name"] == "finished"]
        (event,) = ended or [client.event(job, "finished")]
        assert event["kill"]["reason"] == "queue-timeout"
        client.send("release", job=job)
        if was_first:
            return
    pytest.fail("each job was ended before the upgrade")

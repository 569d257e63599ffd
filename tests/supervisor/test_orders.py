"""The orders of a job's end that real processes can be made to take, one by one."""

import signal

import pytest


@pytest.fixture
def ready(fifo):
    """What the job writes when it is where the test wants it."""
    return fifo()


@pytest.fixture
def go(fifo):
    """What the job waits for."""
    return fifo()


def finished(client, job):
    """The final event, and that it came once and last."""
    event = client.event(job, "finished")
    client.send("ack", job=job, seq=event["seq"])
    assert not [m for m in client.sync() if m["type"] == "event" and m["seq"] > event["seq"]]
    return event


def outcome(event):
    kill = event["kill"]
    return (
        event["outcome"],
        event["output_complete"],
        kill and (kill["found"], kill["verified_gone"]),
    )


# ------------------------------------------------------------------------------------- by itself


def test_exit_then_end_of_output(client, job, ready, go):
    client.run(job, f"(read < {go}; echo late) & echo $! $$ > {ready}")
    client.event(job, "started")
    ready.line()
    assert not [m for m in client.sync() if m.get("name") == "ended"]
    go.go()
    assert client.event(job, "ended")["status"] == 0
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert client.output(job) == b"late\n"


def test_end_of_output_then_exit(client, job, ready, go):
    client.run(job, f"echo early; exec >&- 2>&-; echo > {ready}; read < {go}; exit 3")
    ready.line()
    assert not [m for m in client.sync() if m.get("name") == "ended"]
    go.go()
    assert client.event(job, "ended")["status"] == 3
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert client.output(job) == b"early\n"


def test_one_stream_ends_long_before_the_other(client, job, ready, go):
    client.run(job, f"exec >&-; echo > {ready}; read < {go}; echo last >&2")
    ready.line()
    go.go()
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert client.output(job) == b"last\n"


def test_a_held_pipe_delays_a_command_by_the_drain_grace_only(client, job, ready, go):
    client.run(job, f"(read < {go}) & echo $! > {ready}", drain_s=0.01)
    (holder,) = ready.pids(1)
    client.event(job, "ended")
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert holder.is_gone


def test_what_a_command_leaves_behind_serves_the_next_and_is_gone_in_the_end(
    client, job, ready, fifo
):
    question, answer = fifo(), fifo()
    server = (
        f"(read < {question}; echo served; echo > {answer}; exec sleep 1000) & echo $! > {ready}"
    )
    client.run(job, server, end_if="nonzero", drain_s=0.01)
    (holder,) = ready.pids(1)
    assert client.event(job, "ended")["ends_job"] is False
    assert not holder.is_gone
    client.start(job, f"echo > {question}; read < {answer}; echo used", command=1, drain_s=0.01)
    assert client.event(job, "ended")["command"] == 1
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert client.output(job) == b"served\nused\n"
    assert holder.is_gone


def test_a_leftover_that_ignores_term_is_killed_after_the_sweep_grace(client, job, ready, go):
    client.run(
        job, f"trap '' TERM; (echo $BASHPID > {ready}; exec sleep 1000) & read < {go}", drain_s=0.01
    )
    (leftover,) = ready.pids(1)
    go.go()
    event = finished(client, job)
    assert outcome(event) == ("exited", True, None)
    assert leftover.is_gone


# ------------------------------------------------------------------------- a kill in each phase


def test_killed_before_its_turn(client, job):
    client.introduce("worker", max_running=1)
    assert client.claim(f"{job}-before")
    assert not client.claim(job)
    assert client.kill(job)
    event = finished(client, job)
    assert outcome(event) == ("killed", True, (0, True))
    assert event["end_offset"] == 0
    client.start(job, "echo no")
    assert not [m for m in client.sync() if m.get("name") == "started"]


def test_killed_between_two_commands(client, job):
    client.run(job, "echo one", end_if="nonzero")
    client.event(job, "ended")
    assert client.kill(job)
    assert outcome(finished(client, job)) == ("killed", True, (0, True))
    client.start(job, "echo two", command=1)
    assert not [m for m in client.sync() if m.get("name") == "started" and m["command"] == 1]
    assert client.output(job) == b"one\n"


def test_killed_while_it_runs(client, job, ready):
    client.run(job, f"echo before; echo $$ > {ready}; exec sleep 1000")
    (process,) = ready.pids(1)
    assert client.kill(job)
    assert client.event(job, "kill_requested")["reason"] == "requested"
    ended = client.event(job, "ended")
    assert (ended["status"], ended["killed"]) == (-signal.SIGTERM, True)
    event = finished(client, job)
    assert outcome(event) == ("killed", True, (1, True))
    assert (event["kill"]["signal"], event["kill"]["escalated"]) == (signal.SIGTERM, False)
    assert process.is_gone
    assert client.output(job) == b"before\n"


def test_a_killed_job_that_exits_with_a_code_of_its_own_is_killed_all_the_same(
    client, job, ready, go
):
    client.run(job, f"trap 'echo bye; exit 0' TERM; echo > {ready}; read < {go}")
    ready.line()
    client.kill(job)
    go.go()  # bash runs a trap at the latest when it gets on
    assert client.event(job, "ended")["status"] == 0
    assert outcome(finished(client, job))[0] == "killed"
    assert client.output(job) == b"bye\n"


def test_killed_while_it_drains(client, job, ready, go):
    """The command that ends the job has ended by itself before."""
    line = f"echo own $$ > {ready}; (echo $BASHPID > {ready}; exec sleep 1000) & read < {go}"
    client.run(job, line)
    holder, process = ready.pids(2)
    go.go()
    process.wait()
    while not process.is_reaped:  # it may hear of the end a little later than we do
        client.sync()
    client.kill(job)
    assert client.event(job, "ended")["killed"] is False
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert holder.is_gone


def test_killed_while_it_drains_with_more_to_run(client, job, ready, go):
    line = f"(echo $BASHPID > {ready}; exec sleep 1000) & read < {go}"
    client.run(job, line, end_if="nonzero")
    (holder,) = ready.pids(1)
    go.go()
    client.kill(job)
    assert outcome(finished(client, job))[:2] == ("killed", True)
    assert holder.is_gone


def test_killed_at_once_while_its_leftovers_are_ended(client, job, ready, go):
    line = f"trap '' TERM; (echo $BASHPID > {ready}; exec sleep 1000 >&- 2>&-) & read < {go}"
    client.run(job, line)
    (leftover,) = ready.pids(1)
    go.go()
    client.event(job, "ended")
    client.kill(job, grace_s=0)
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert leftover.is_gone


def test_killed_after_it_finished(client, job):
    client.run(job, "true")
    assert outcome(finished(client, job)) == ("exited", True, None)
    assert client.kill(job)  # it is in the register until its owner releases it
    assert not [m for m in client.sync() if m.get("name") == "kill_requested"]
    client.send("release", job=job)
    assert not client.kill(job)


# ------------------------------------------------------------------------- grace and escalation


IGNORES_TERM = "trap '' TERM; echo $$ > {ready}; exec sleep 1000"


def test_what_ignores_term_is_killed_after_the_grace(client, job, ready):
    client.run(job, IGNORES_TERM.format(ready=ready))
    (process,) = ready.pids(1)
    client.kill(job, grace_s=0.01)
    event = finished(client, job)
    assert event["kill"]["escalated"]
    assert outcome(event) == ("killed", True, (1, True))
    assert process.is_gone


@pytest.mark.parametrize("second", [{"grace_s": 0}, {"grace_s": 0.01}, {"signal": 9}])
def test_a_later_request_shortens_the_grace(client, job, ready, second):
    client.run(job, IGNORES_TERM.format(ready=ready))
    ready.pids(1)
    client.kill(job)
    client.kill(job, **second)
    event = finished(client, job)
    assert event["kill"]["escalated"]
    assert event["kill"]["reason"] == "requested"
    assert event["kill"]["grace_s"] == second.get("grace_s", 0)


def test_a_kill_without_grace_escalates_nothing(client, job, ready):
    client.run(job, IGNORES_TERM.format(ready=ready))
    ready.pids(1)
    client.kill(job, grace_s=0)
    event = finished(client, job)
    assert (event["kill"]["signal"], event["kill"]["escalated"]) == (signal.SIGKILL, False)


def test_a_timeout_ends_the_job_and_keeps_its_output(client, job, ready):
    client.run(job, f"echo partial; echo > {ready}; exec sleep 1000", timeout_s=0.3)
    ready.line()
    event = finished(client, job)
    assert (event["outcome"], event["kill"]["reason"]) == ("killed", "timeout")
    assert client.output(job) == b"partial\n"


def test_a_timeout_counts_from_the_first_command(client, job):
    client.run(job, "true", timeout_s=0.3, end_if="nonzero")
    client.event(job, "ended")
    client.start(job, "exec sleep 1000", command=1, timeout_s=1000)
    assert finished(client, job)["kill"]["reason"] == "timeout"


def test_the_signal_asked_for_is_the_one_sent(client, job, ready, go):
    client.run(job, f"trap 'exit 7' USR1; echo > {ready}; read < {go}")
    ready.line()
    client.kill(job, signal=int(signal.SIGUSR1))
    go.go()
    assert client.event(job, "ended")["status"] == 7
    assert finished(client, job)["kill"]["signal"] == signal.SIGUSR1

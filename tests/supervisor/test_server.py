"""Between service processes and their supervisor: which worker drives a job, run slots, and
notifications.
"""

import itertools
import os
import signal

import pytest

from service.link.frames import encode
from service.link.protocol import PROTOCOL


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory, make_supervisor):
    supervisor = make_supervisor(tmp_path_factory.mktemp("server") / "state", "--cgroup", "off")
    yield supervisor
    supervisor.close()


@pytest.fixture
def supervisor(one_for_all):
    yield one_for_all
    one_for_all.end_jobs()


@pytest.fixture
def ready(fifo):
    return fifo()


@pytest.fixture
def go(fifo):
    return fifo()


def events(messages, job):
    return [m["name"] for m in messages if m["type"] == "event" and m["job"] == job]


# ---------------------------------------------------------------------------------------- hello


def test_the_supervisor_says_hello_first_and_names_itself(supervisor):
    client = supervisor.connect(role=None)
    assert client.hello["protocol"] == PROTOCOL
    assert client.hello["pid"] == supervisor.process.pid == supervisor.pid
    nonce, _ = (supervisor.state_dir / "supervisor.lock").read_text().split()
    assert client.hello["nonce"] == nonce
    assert client.hello["jobs"] == []


def test_hello_lists_the_live_jobs_in_the_order_of_their_claims(supervisor):
    client = supervisor.connect()
    for job in ("b", "a", "c"):
        client.claim(job)
    client.send("release", job="a")
    client.sync()
    assert supervisor.connect().hello["jobs"] == ["b", "c"]


# -------------------------------------------------------------------------------- claim and start


def test_a_job_is_claimed_once(supervisor):
    first, second = supervisor.connect(), supervisor.connect()
    assert first.claim("job")
    reply = second.request("claim", job="job")
    assert (reply["ok"], reply["why"]) == (False, "already_claimed")


def test_a_start_that_is_repeated_spawns_once(supervisor, ready):
    client = supervisor.connect()
    client.claim("job")
    for _ in range(3):
        client.start("job", f"echo $$ >> {ready}; echo one")
    client.event("job", "finished")
    client.start("job", f"echo $$ >> {ready}; echo two")
    assert events(client.sync(), "job") == ["started", "ended"]
    assert client.output("job") == b"one\n"


def test_a_start_after_a_kill_is_refused(supervisor):
    client = supervisor.connect()
    client.claim("job")
    client.kill("job")
    client.start("job", "echo no")
    assert client.event("job", "finished")["outcome"] == "killed"
    assert events(client.sync(), "job") == ["kill_requested"]
    assert not (supervisor.state_dir / "jobs" / "job").exists()


def test_only_the_worker_that_drives_a_job_starts_it(supervisor):
    worker, other = supervisor.connect(), supervisor.connect()
    worker.claim("job")
    other.start("job", "echo no")
    assert other.sync() == worker.sync() == []
    worker.start("job", "echo yes")
    worker.event("job", "finished")
    assert worker.output("job") == b"yes\n"
    assert other.sync() == []


def test_a_start_without_a_slot_is_ignored(supervisor):
    client = supervisor.connect(max_running=1)
    client.claim("first")
    assert not client.claim("job")
    client.start("job", "echo no")
    assert client.sync() == []


def test_a_job_nobody_claimed_is_not_started(supervisor):
    client = supervisor.connect()
    client.start("job", "echo no")
    assert client.sync() == []
    assert client.hello["jobs"] == []


# -------------------------------------------------------------------------------------- run slots


def test_slots_go_to_the_jobs_that_wait_longest(supervisor, ready, go):
    client = supervisor.connect(max_running=2)
    slots = [client.claim(job) for job in "abcde"]
    assert slots == [True, True, False, False, False]
    for job in "ab":
        client.start(job, f"read < {go}")
    go.go()
    client.expect("slot_granted", job="c")
    go.go()
    client.expect("slot_granted", job="d")
    assert [m["job"] for m in client.sync() if m["type"] == "slot_granted"] == []


def test_a_job_killed_while_it_waits_is_passed_over(supervisor):
    client = supervisor.connect(max_running=1)
    for job in "abc":
        client.claim(job)
    client.kill("b")
    client.start("a", "true")
    client.event("b", "finished")
    client.expect("slot_granted", job="c")
    assert [m["job"] for m in client.sync() if m["type"] == "slot_granted"] == []


def test_slots_are_granted_in_order_across_workers(supervisor):
    first, second = supervisor.connect(max_running=1), supervisor.connect(max_running=1)
    for client, job in zip(itertools.cycle((first, second)), "abcd", strict=False):
        client.claim(job)
    first.start("a", "true")
    second.expect("slot_granted", job="b")
    second.start("b", "true")
    first.expect("slot_granted", job="c")
    assert not [m for m in second.sync() if m["type"] == "slot_granted"]


def test_slots_go_by_priority_then_by_fair_share_also_after_an_upgrade(plain_supervisor):
    client = plain_supervisor.connect(max_running=2)
    for job, principal, priority in (
        ("a", "greedy", 0),
        ("b", "greedy", 0),
        ("c", "greedy", 0),
        ("d", "ann", 0),
        ("e", "greedy", 1),
    ):
        client.request("claim", job=job, principal=principal, priority=priority)
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    client = plain_supervisor.connect(max_running=2)
    for job, then in (("a", "e"), ("e", "d"), ("d", "c")):
        client.send("release", job=job)
        client.expect("slot_granted", job=then)
    assert not [m for m in client.sync() if m["type"] == "slot_granted"]


def test_no_more_jobs_wait_than_may_but_stored_ones(supervisor):
    client = supervisor.connect(role=None)
    client.send("hello", role="worker", pid=1, protocol=PROTOCOL, max_running=1, max_pending=2)
    replies = [client.request("claim", job=job) for job in "abcd"]
    assert [(r["ok"], r.get("has_slot"), r.get("why")) for r in replies] == [
        (True, True, None),
        (True, False, None),
        (True, False, None),
        (False, None, "queue_full"),
    ]
    assert client.request("claim", job="d", stored=True)["ok"]
    for job in "abcd":
        client.send("release", job=job)
    client.sync()


def test_a_released_claim_frees_its_slot(supervisor):
    client = supervisor.connect(max_running=1)
    client.claim("a")
    client.claim("b")
    client.send("release", job="a")
    client.expect("slot_granted", job="b")


def test_more_slots_are_given_at_once(supervisor):
    client = supervisor.connect(max_running=1)
    for job in "abc":
        client.claim(job)
    supervisor.connect(max_running=2)
    client.expect("slot_granted", job="b")
    assert [m["job"] for m in client.sync() if m["type"] == "slot_granted"] == []


# --------------------------------------------------------------------------------------- hand over


def test_a_silent_job_has_no_log_until_somebody_wants_to_read_it(plain_supervisor, ready, go):
    client = plain_supervisor.connect()
    client.run("job", f"echo > {ready}; read -r _ < {go}; echo said")
    ready.line()
    directory = plain_supervisor.state_dir / "logs" / "job"
    assert not directory.exists()
    assert client.request("upgrade")["ok"]  # the next one makes it as well
    assert client.hung_up()
    client = plain_supervisor.connect()
    for _ in range(2):
        assert client.request("make_log", job="job")["ok"]
        assert sorted(os.listdir(directory)) == ["output", "runs"]
    go.go()
    client.event("job", "finished")
    assert client.output("job") == b"said\n"
    client.send("release", job="job")
    assert not client.request("make_log", job="job")["ok"]


def test_a_silent_job_that_is_over_has_no_log(supervisor):
    client = supervisor.connect()
    client.run("job", "exit 0")
    assert client.event("job", "finished")["end_offset"] == 0
    assert client.request("make_log", job="job")["ok"]
    assert os.listdir(supervisor.state_dir / "jobs" / "job") == ["work"]
    assert not (supervisor.state_dir / "logs" / "job").exists()


def test_a_lost_connection_hands_its_jobs_over_with_what_was_not_acknowledged(supervisor, go):
    first, second = supervisor.connect(max_running=1), supervisor.connect(max_running=1)
    first.run("running", f"read < {go}", end_if="nonzero")
    first.claim("pending")
    started = first.event("running", "started")
    go.go()
    ended = first.event("running", "ended")
    first.send("ack", job="running", seq=started["seq"])
    first.sync()
    first.close()
    adopted = second.expect("adopt", job="running")
    assert (adopted["has_slot"], adopted["dispatched"]) == (True, 0)
    assert adopted["events"] == [ended]
    waiting = second.expect("adopt", job="pending")
    assert (waiting["has_slot"], waiting["dispatched"], waiting["events"]) == (False, -1, [])
    # And the new worker drives them on.
    second.start("running", "true", command=1)
    second.event("running", "finished")
    second.send("release", job="running")
    second.expect("slot_granted", job="pending")


def test_jobs_wait_for_the_next_worker_when_there_is_none(supervisor, ready, go):
    first = supervisor.connect()
    first.run("job", f"echo > {ready}; read < {go}; echo all the same")
    ready.line()
    first.close()
    go.go()
    main = supervisor.connect(role="main")
    assert main.hello["jobs"] == ["job"]
    assert main.sync() == [], "jobs go to workers only"
    worker = supervisor.connect()
    adopted = worker.expect("adopt", job="job")
    names = [event["name"] for event in adopted["events"]]
    while names[-1:] != ["finished"]:
        names.append(worker.expect("event", job="job")["name"])
    assert names == ["started", "ended", "finished"]
    assert worker.output("job") == b"all the same\n"


def test_a_finished_job_is_kept_until_its_worker_has_stored_it(supervisor):
    first = supervisor.connect()
    first.run("job", "exit 3")
    finished = first.event("job", "finished")
    first.close()
    second = supervisor.connect()
    adopted = second.expect("adopt", job="job")
    assert [event["name"] for event in adopted["events"]] == ["started", "ended", "finished"]
    assert adopted["events"][-1] == finished
    second.send("release", job="job")
    assert supervisor.connect().hello["jobs"] == []


def test_jobs_of_a_lost_worker_are_shared_out(supervisor):
    lost, *others = (supervisor.connect() for _ in range(3))
    for number in range(10):
        lost.claim(f"job{number}")
    lost.close()
    counts = []
    for other in others:
        other.expect("adopt")
        counts.append(1 + sum(m["type"] == "adopt" for m in other.sync()))
    assert counts == [5, 5]


def test_events_of_an_adopted_job_go_to_its_new_worker_alone(supervisor, go):
    first, second = supervisor.connect(), supervisor.connect()
    first.run("job", f"read < {go}")
    first.event("job", "started")
    first.close()
    second.expect("adopt", job="job")
    third = supervisor.connect()
    go.go()
    second.event("job", "finished")
    assert third.sync() == []


def test_a_job_that_is_released_while_it_runs_is_killed(supervisor, ready):
    client = supervisor.connect()
    client.run("job", f"echo $$ > {ready}; exec sleep 1000")
    (process,) = ready.pids(1)
    client.send("release", job="job")
    process.wait()
    assert supervisor.connect().hello["jobs"] == []


# ------------------------------------------------------------------------------------------ changes


def test_a_change_is_published_to_every_other_worker(supervisor):
    main = supervisor.connect(role="main")
    first, second, third = (supervisor.connect() for _ in range(3))
    first.send("publish", job="job", state="exited")
    assert first.sync() == []
    for other in (second, third):
        assert other.expect("job_changed") == {
            "type": "job_changed",
            "job": "job",
            "state": "exited",
        }
    assert main.sync() == []


def test_a_connection_without_a_role_hears_of_changes(supervisor):
    """It may be a worker that reads the records as they were when it had our hello."""
    newcomer = supervisor.connect(role=None)
    worker = supervisor.connect()
    worker.send("publish", job="job", state="exited")
    assert newcomer.expect("job_changed")["job"] == "job"


def test_an_acknowledgement_and_a_release_may_publish_a_change(supervisor):
    first, second = supervisor.connect(), supervisor.connect()
    first.run("job", "true")
    started = first.event("job", "started")
    first.send("ack", job="job", seq=started["seq"], state="running")
    assert second.expect("job_changed") == {"type": "job_changed", "job": "job", "state": "running"}
    first.event("job", "finished")
    first.send("release", job="job", state="exited")
    assert second.expect("job_changed") == {"type": "job_changed", "job": "job", "state": "exited"}


# ------------------------------------------------------------------------------------- broken peers


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (1 << 31).to_bytes(4, "big"),
        (2).to_bytes(4, "big") + b"{}",
        (9000).to_bytes(4, "big") + b"[" * 9000,
    ],
    ids=["HTTP", "too long", "no type", "nested"],
)
def test_a_peer_that_sends_no_frames_is_dropped_and_no_other(supervisor, data):
    good, bad = supervisor.connect(), supervisor.connect()
    said = len(supervisor.log)
    good.run("job", "sleep 1000")
    good.event("job", "started")
    bad.send_raw(data)
    assert bad.hung_up()
    good.kill("job")
    assert good.event("job", "finished")["outcome"] == "killed"
    assert "connection_dropped" in supervisor.log[said:]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "claim"}, "claim: `job` is missing"),
        (
            {"type": "claim", "job": ["no", "text"], "request_id": 1},
            "claim: `job`: expected a string",
        ),
        ({"type": "claim", "job": "../other", "request_id": 1}, "claim: `job`: expected a string"),
        ({"type": "kill", "job": "job", "request_id": 1}, "kill: `signal` is missing"),
        ({"type": "ack", "job": "job", "seq": "x"}, "ack: `seq`: expected an integer"),
        ({"type": "ack", "job": "job", "seq": True}, "ack: `seq`: expected an integer"),
        ({"type": "hello", "role": "worker"}, "hello: `protocol` is missing"),
        (
            {"type": "hello", "protocol": PROTOCOL, "role": "worker", "pid": 1},
            "hello: a worker says `max_running` and `max_pending`",
        ),
        (
            {"type": "hello", "protocol": PROTOCOL - 1, "role": "main", "pid": 1},
            f"hello: protocol {PROTOCOL - 1}; this supervisor speaks {PROTOCOL}",
        ),
        (
            {"type": "claim", "job": "other", "queue_timeout_s": 1},
            "claim: `queue_timeout_s` needs `grace_s`",
        ),
        ({"type": "novelty", "job": "job", "request_id": 7}, "no message has the type 'novelty'"),
    ],
)
def test_a_message_that_is_not_understood_is_rejected_and_changes_nothing(
    supervisor, message, error
):
    client = supervisor.connect()
    client.run("job", "sleep 1000")
    client.event("job", "started")
    client.send_raw(encode(message))
    rejected = client.expect("rejected", rejected=message["type"])
    assert rejected["error"].startswith(error)
    for key in ("request_id", "job"):
        wanted = message.get(key)
        assert rejected.get(key) == (wanted if not isinstance(wanted, list) else None)
    assert "message_rejected" in supervisor.log
    assert supervisor.connect().hello["jobs"] == ["job"]
    client.kill("job")
    assert client.event("job", "finished")["outcome"] == "killed"


def test_keys_of_a_newer_release_are_ignored(supervisor):
    client = supervisor.connect()
    assert client.request("claim", job="job", more="words")["ok"]
    assert client.inbox == []


# -------------------------------------------------------------------------------------- the end


def test_a_shutdown_ends_jobs_that_run_and_waits_until_they_are_recorded(plain_supervisor, ready):
    worker = plain_supervisor.connect(max_running=2)
    for job in ("first", "second"):
        worker.run(job, f"trap '' TERM; echo $$ > {ready}; exec sleep 1000")
    worker.request("claim", job="pending", queue_timeout_s=300, grace_s=300)
    processes = ready.pids(2)
    main = plain_supervisor.connect(role="main")
    main.send("shutdown", request_id=99, grace_s=0.05)
    for job in ("first", "second"):
        adopted = main.expect("adopt", job=job)
        names = [event["name"] for event in adopted["events"]]
        event = adopted["events"][-1] if names[-1:] == ["finished"] else main.event(job, "finished")
        assert (event["outcome"], event["kill"]["reason"]) == ("killed", "shutdown")
    assert all(process.is_gone for process in processes)
    reply = worker.request("claim", job="late")
    assert (reply["ok"], reply["why"]) == (False, "shutting_down")
    # The one that waited is nobody's: its record says that it is pending.
    assert not [m for m in main.sync() if m["type"] == "reply" or m.get("job") == "pending"]
    for job in ("first", "second"):
        main.send("release", job=job)
    assert main.expect("reply", request_id=99)["ok"]
    assert main.hung_up()
    assert plain_supervisor.process.wait() == 0


@pytest.mark.parametrize("by", ["message", "signal"])
def test_a_shutdown_has_a_job_that_was_about_to_start_recorded_as_pending(plain_supervisor, by):
    worker = plain_supervisor.connect(max_running=1)
    assert worker.claim("about-to-start")
    if by == "message":
        ending = plain_supervisor.connect(role="main")
        ending.send("shutdown", request_id=99, grace_s=300)
        assert ending.expect("adopt")["has_slot"] is False
    else:
        ending = worker
        plain_supervisor.process.terminate()
    assert ending.expect("slot_revoked")["job"] == "about-to-start"
    ending.start("about-to-start", "echo never")  # as one sends who hasn't heard of it
    assert not [m for m in ending.sync() if m["type"] in ("event", "reply")]
    ending.send("release", job="about-to-start")
    assert ending.hung_up()
    assert plain_supervisor.process.wait() == 0
    assert not (plain_supervisor.state_dir / "jobs" / "about-to-start").exists()


def test_a_signal_ends_a_supervisor_whose_waiting_jobs_no_worker_drives(plain_supervisor):
    worker = plain_supervisor.connect(max_running=1)
    for job in ("with-slot", "without"):
        worker.claim(job)
    worker.close()
    plain_supervisor.process.terminate()
    assert plain_supervisor.process.wait() == 0


def test_a_shutdown_keeps_the_shorter_grace_of_a_job(plain_supervisor, ready):
    worker = plain_supervisor.connect()
    worker.run("job", f"trap '' TERM; echo > {ready}; exec sleep 1000", grace_s=0.05)
    ready.line()
    main = plain_supervisor.connect(role="main")
    main.send("shutdown", request_id=99, grace_s=300)
    assert main.event("job", "finished")["kill"]["grace_s"] == 0.05


def test_a_shutdown_whose_caller_vanishes_lets_others_stay(plain_supervisor, ready):
    worker = plain_supervisor.connect()
    worker.run("job", f"trap '' TERM; echo > {ready}; exec sleep 1000")
    ready.line()
    assert worker.claim("slow")
    main = plain_supervisor.connect(role="main")
    main.send("shutdown", request_id=99, grace_s=300)
    main.expect("adopt", job="job")
    main.expect("slot_revoked", job="slow")
    main.close()
    worker.expect("adopt", job="job")
    worker.expect("slot_granted", job="slow")
    assert worker.request("claim", job="another")["ok"]


def test_term_ends_all_jobs_and_then_the_supervisor(plain_supervisor, ready):
    worker = plain_supervisor.connect()
    worker.run("job", f"echo $$ > {ready}; exec sleep 1000")
    (process,) = ready.pids(1)
    os.kill(plain_supervisor.process.pid, signal.SIGTERM)
    event = worker.event("job", "finished")
    assert event["kill"]["reason"] == "shutdown"
    assert process.is_gone
    worker.send("release", job="job")
    assert worker.hung_up()
    assert plain_supervisor.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_signals_of_a_terminal_do_not_end_it(plain_supervisor, number):
    client = plain_supervisor.connect()
    os.kill(plain_supervisor.process.pid, number)
    client.run("job", "true")
    assert client.event("job", "finished")["outcome"] == "exited"
    assert "signal_received" in plain_supervisor.log
    assert plain_supervisor.process.poll() is None

"""Between service processes and their supervisor: who owns a job, whose turn it is, who is told."""

import itertools
import os
import signal

import pytest

from service.link.protocol import PROTOCOL, encode


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
    return [m["name"] for m in messages if m["t"] == "event" and m["job"] == job]


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
    assert (reply["ok"], reply["why"]) == (False, "claimed")


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
    assert client.event("job", "finished")["verdict"] == "killed"
    assert events(client.sync(), "job") == ["killing"]
    assert not (supervisor.state_dir / "jobs" / "job").exists()


def test_only_the_owner_starts(supervisor):
    owner, other = supervisor.connect(), supervisor.connect()
    owner.claim("job")
    other.start("job", "echo no")
    assert other.sync() == owner.sync() == []
    owner.start("job", "echo yes")
    owner.event("job", "finished")
    assert owner.output("job") == b"yes\n"
    assert other.sync() == []


def test_a_start_without_a_turn_is_passed_over(supervisor):
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


def test_slots_go_to_those_who_wait_longest(supervisor, ready, go):
    client = supervisor.connect(max_running=2)
    turns = [client.claim(job) for job in "abcde"]
    assert turns == [True, True, False, False, False]
    for job in "ab":
        client.start(job, f"read < {go}")
    go.go()
    client.expect("turn", job="c")
    go.go()
    client.expect("turn", job="d")
    assert [m["job"] for m in client.sync() if m["t"] == "turn"] == []


def test_a_job_killed_while_it_waits_is_passed_over(supervisor):
    client = supervisor.connect(max_running=1)
    for job in "abc":
        client.claim(job)
    client.kill("b")
    client.start("a", "true")
    client.event("b", "finished")
    client.expect("turn", job="c")
    assert [m["job"] for m in client.sync() if m["t"] == "turn"] == []


def test_turns_come_in_order_across_owners(supervisor):
    first, second = supervisor.connect(max_running=1), supervisor.connect(max_running=1)
    for client, job in zip(itertools.cycle((first, second)), "abcd", strict=False):
        client.claim(job)
    first.start("a", "true")
    second.expect("turn", job="b")
    second.start("b", "true")
    first.expect("turn", job="c")
    assert not [m for m in second.sync() if m["t"] == "turn"]


def test_turns_go_by_priority_then_by_fair_share_also_after_an_upgrade(plain_supervisor):
    client = plain_supervisor.connect(max_running=2)
    for job, owner, priority in (
        ("a", "greedy", 0),
        ("b", "greedy", 0),
        ("c", "greedy", 0),
        ("d", "ann", 0),
        ("e", "greedy", 1),
    ):
        client.request("claim", job=job, owner=owner, priority=priority)
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    client = plain_supervisor.connect(max_running=2)
    for job, then in (("a", "e"), ("e", "d"), ("d", "c")):
        client.send("release", job=job)
        client.expect("turn", job=then)
    assert not [m for m in client.sync() if m["t"] == "turn"]


def test_no_more_are_pending_than_may_be_but_those_that_are_stored(supervisor):
    client = supervisor.connect(role=None)
    client.send("hello", role="worker", pid=1, protocol=1, max_running=1, max_pending=2)
    turns = [client.request("claim", job=job) for job in "abcd"]
    assert [(r["ok"], r.get("turn"), r.get("why")) for r in turns] == [
        (True, True, None),
        (True, False, None),
        (True, False, None),
        (False, None, "pending"),
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
    client.expect("turn", job="b")


def test_more_slots_are_given_at_once(supervisor):
    client = supervisor.connect(max_running=1)
    for job in "abc":
        client.claim(job)
    supervisor.connect(max_running=2)
    client.expect("turn", job="b")
    assert [m["job"] for m in client.sync() if m["t"] == "turn"] == []


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
        assert client.request("log", job="job")["ok"]
        assert sorted(os.listdir(directory)) == ["output", "runs"]
    go.go()
    client.event("job", "finished")
    assert client.output("job") == b"said\n"
    client.send("release", job="job")
    assert not client.request("log", job="job")["ok"]


def test_a_silent_job_that_is_over_has_no_log(supervisor):
    client = supervisor.connect()
    client.run("job", "exit 0")
    assert client.event("job", "finished")["end"] == 0
    assert client.request("log", job="job")["ok"]
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
    assert (adopted["turn"], adopted["asked"]) == (True, 0)
    assert adopted["events"] == [ended]
    waiting = second.expect("adopt", job="pending")
    assert (waiting["turn"], waiting["asked"], waiting["events"]) == (False, -1, [])
    # And the new owner drives them on.
    second.start("running", "true", n=1)
    second.event("running", "finished")
    second.send("release", job="running")
    second.expect("turn", job="pending")


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


def test_a_finished_job_is_kept_until_its_owner_says_that_it_is_recorded(supervisor):
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
        counts.append(1 + sum(m["t"] == "adopt" for m in other.sync()))
    assert counts == [5, 5]


def test_events_of_an_adopted_job_go_to_the_new_owner_alone(supervisor, go):
    first, second = supervisor.connect(), supervisor.connect()
    first.run("job", f"read < {go}")
    first.event("job", "started")
    first.close()
    second.expect("adopt", job="job")
    third = supervisor.connect()
    go.go()
    second.event("job", "finished")
    assert third.sync() == []


def test_who_released_a_job_that_runs_has_it_killed(supervisor, ready):
    client = supervisor.connect()
    client.run("job", f"echo $$ > {ready}; exec sleep 1000")
    (process,) = ready.pids(1)
    client.send("release", job="job")
    process.wait()
    assert supervisor.connect().hello["jobs"] == []


# ------------------------------------------------------------------------------------------ notices


def test_notices_go_to_every_other_worker(supervisor):
    main = supervisor.connect(role="main")
    first, second, third = (supervisor.connect() for _ in range(3))
    first.send("publish", job="job", state="exited")
    assert first.sync() == []
    for other in (second, third):
        assert other.expect("notice") == {"t": "notice", "job": "job", "state": "exited"}
    assert main.sync() == []


def test_one_that_has_not_said_what_it_is_hears_notices(supervisor):
    """It may be a worker that reads the records as they were when it had our hello."""
    newcomer = supervisor.connect(role=None)
    worker = supervisor.connect()
    worker.send("publish", job="job", state="exited")
    assert newcomer.expect("notice")["job"] == "job"


def test_what_is_acknowledged_or_released_may_tell_the_others(supervisor):
    first, second = supervisor.connect(), supervisor.connect()
    first.run("job", "true")
    started = first.event("job", "started")
    first.send("ack", job="job", seq=started["seq"], state="running")
    assert second.expect("notice") == {"t": "notice", "job": "job", "state": "running"}
    first.event("job", "finished")
    first.send("release", job="job", state="exited")
    assert second.expect("notice") == {"t": "notice", "job": "job", "state": "exited"}


# ------------------------------------------------------------------------------------- broken peers


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (1 << 31).to_bytes(4, "big"),
        encode({"t": "claim"}),
        encode({"t": "hello", "role": "worker"}),
        encode({"t": "claim", "job": ["no", "text"], "rid": 1}),
        encode({"t": "kill", "job": "job", "rid": 1}),
        encode({"t": "ack", "job": "job", "seq": "x"}),
    ],
    ids=["HTTP", "too long", "no job", "half a hello", "no text", "half a kill", "no number"],
)
def test_who_talks_nonsense_is_dropped_and_nobody_else(supervisor, data):
    good, bad = supervisor.connect(), supervisor.connect()
    said = len(supervisor.log)
    good.run("job", "sleep 1000")
    good.event("job", "started")
    bad.send_raw(data)
    assert bad.hung_up()
    good.kill("job")
    assert good.event("job", "finished")["verdict"] == "killed"
    assert "peer_dropped" in supervisor.log[said:]


def test_what_a_newer_release_says_beside_is_passed_over(supervisor):
    client = supervisor.connect()
    client.send("novelty", job="job", rid=7)
    assert client.request("claim", job="job", more="words")["ok"]
    assert client.inbox == []


# -------------------------------------------------------------------------------------- the end


def test_a_shutdown_ends_all_jobs_and_waits_until_they_are_recorded(plain_supervisor, ready):
    worker = plain_supervisor.connect(max_running=2)
    for job in ("first", "second"):
        worker.run(job, f"trap '' TERM; echo $$ > {ready}; exec sleep 1000")
    worker.claim("pending")
    processes = ready.pids(2)
    main = plain_supervisor.connect(role="main")
    main.send("shutdown", rid=99, grace_s=0.05)
    for job in ("first", "second", "pending"):
        adopted = main.expect("adopt", job=job)
        names = [event["name"] for event in adopted["events"]]
        event = adopted["events"][-1] if names[-1:] == ["finished"] else main.event(job, "finished")
        assert (event["verdict"], event["kill"]["reason"]) == ("killed", "shutdown")
    assert all(process.is_gone for process in processes)
    reply = worker.request("claim", job="late")
    assert (reply["ok"], reply["why"]) == (False, "closing")
    assert not [m for m in main.sync() if m["t"] == "reply"]
    for job in ("first", "second", "pending"):
        main.send("release", job=job)
    assert main.expect("reply", rid=99)["ok"]
    assert main.hung_up()
    assert plain_supervisor.process.wait() == 0


def test_a_shutdown_keeps_the_shorter_grace_of_a_job(plain_supervisor, ready):
    worker = plain_supervisor.connect()
    worker.run("job", f"trap '' TERM; echo > {ready}; exec sleep 1000", grace_s=0.05)
    ready.line()
    main = plain_supervisor.connect(role="main")
    main.send("shutdown", rid=99, grace_s=300)
    assert main.event("job", "finished")["kill"]["grace_s"] == 0.05


def test_a_shutdown_whose_caller_vanishes_lets_others_stay(plain_supervisor, ready):
    worker = plain_supervisor.connect()
    worker.run("job", f"trap '' TERM; echo > {ready}; exec sleep 1000")
    ready.line()
    main = plain_supervisor.connect(role="main")
    main.send("shutdown", rid=99, grace_s=300)
    main.expect("adopt", job="job")
    main.close()
    worker.expect("adopt", job="job")
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
def test_signals_of_a_terminal_are_passed_over(plain_supervisor, number):
    client = plain_supervisor.connect()
    os.kill(plain_supervisor.process.pid, number)
    client.run("job", "true")
    assert client.event("job", "finished")["verdict"] == "exited"
    assert "signal_passed_over" in plain_supervisor.log
    assert plain_supervisor.process.poll() is None

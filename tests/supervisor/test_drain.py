"""A supervisor that drains takes no job and starts none that waits; what runs goes on to its end."""

import pytest


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory, make_supervisor):
    supervisor = make_supervisor(tmp_path_factory.mktemp("drain") / "state", "--cgroup", "off")
    yield supervisor
    supervisor.close()


@pytest.fixture
def supervisor(one_for_all):
    yield one_for_all
    operator = one_for_all.connect(role="operator")
    operator.request("resume", at_start=False)
    one_for_all.end_jobs()


@pytest.fixture
def go(fifo):
    return fifo()


def drain(client, **options):
    return client.request("drain", **{"until_start": False, **options})


def test_no_new_job_is_taken_and_stored_ones_wait(supervisor):
    worker, operator = supervisor.connect(), supervisor.connect(role="operator")
    reply = drain(operator)
    assert (reply["ok"], reply["running"], reply["pending"]) == (True, 0, 0)
    refused = worker.request("claim", job="new")
    assert (refused["ok"], refused["why"]) == (False, "draining")
    recovered = worker.request("claim", job="stored", stored=True, dispatched=-1)
    assert (recovered["ok"], recovered["has_slot"]) == (True, False)
    assert drain(operator)["pending"] == 1
    operator.request("resume", at_start=False)
    worker.expect("slot_granted", job="stored")
    assert worker.claim("new")


def test_what_runs_finishes_with_all_its_commands_and_frees_its_slot_for_nobody(supervisor, go):
    worker = supervisor.connect(max_running=1)
    worker.run("job", f"read -r _ < {go}; echo one", end_if="nonzero")
    worker.claim("waiting")
    operator = supervisor.connect(role="operator")
    reply = drain(operator)
    assert (reply["running"], reply["pending"]) == (1, 1)
    go.go()
    worker.event("job", "ended")
    worker.start("job", "echo two", command=1)
    worker.event("job", "finished")
    assert worker.output("job") == b"one\ntwo\n"
    worker.send("release", job="job")
    assert not [m for m in worker.sync() if m["type"] == "slot_granted"]
    operator.request("resume", at_start=False)
    worker.expect("slot_granted", job="waiting")


def test_who_waits_is_answered_when_the_last_outcome_is_stored(supervisor, go):
    worker = supervisor.connect(max_running=2)
    worker.run("job", f"read -r _ < {go}")
    assert worker.claim("about-to-start")
    operator = supervisor.connect(role="operator")
    operator.send("drain", request_id=77, until_start=False, wait=True)
    assert not [m for m in operator.sync() if m["type"] == "reply"]
    worker.start("about-to-start", "true")  # it has its slot, so it runs
    worker.event("about-to-start", "finished")
    go.go()
    worker.event("job", "finished")
    worker.send("release", job="about-to-start")
    worker.sync()
    assert not [m for m in operator.sync() if m["type"] == "reply"]
    worker.send("release", job="job")
    assert operator.expect("reply", request_id=77) == {
        "type": "reply",
        "request_id": 77,
        "ok": True,
        "running": 0,
        "pending": 0,
    }


def test_who_waits_hears_that_the_drain_was_ended(supervisor, go):
    worker = supervisor.connect()
    worker.run("job", f"read -r _ < {go}")
    operator, other = supervisor.connect(role="operator"), supervisor.connect(role="operator")
    operator.send("drain", request_id=77, until_start=False, wait=True)
    operator.sync()
    assert other.request("resume", at_start=False)["ok"]
    reply = operator.expect("reply", request_id=77)
    assert (reply["ok"], reply["running"]) == (False, 1)


def test_workers_are_told_and_newcomers_as_well(supervisor):
    worker, operator = supervisor.connect(), supervisor.connect(role="operator")
    assert "draining" not in worker.hello
    drain(operator)
    since = worker.expect("draining_changed")["since"]
    assert supervisor.connect().hello["draining"] == since
    operator.request("resume", at_start=False)
    assert worker.expect("draining_changed")["since"] is None
    assert "draining" not in supervisor.connect().hello


def test_a_start_of_the_service_ends_only_a_drain_that_lasts_until_then(supervisor):
    operator = supervisor.connect(role="operator")
    drain(operator)
    operator.request("resume", at_start=True)
    assert "draining" in supervisor.connect(role="operator").hello
    drain(operator, until_start=True)
    drain(operator)  # which shortens nothing
    operator.request("resume", at_start=True)
    assert "draining" not in supervisor.connect(role="operator").hello


def test_slots_of_jobs_that_nobody_could_start_are_taken_back(supervisor):
    worker = supervisor.connect()
    assert worker.claim("job")
    worker.close()
    operator = supervisor.connect(role="operator")
    while drain(operator)["pending"] != 1:  # until the end of that connection has been seen
        continue
    successor = supervisor.connect()
    assert successor.expect("adopt", job="job")["has_slot"] is False
    operator.request("resume", at_start=False)
    successor.expect("slot_granted", job="job")


def test_a_drain_outlives_an_upgrade_and_the_death_of_the_supervisor(start_supervisor, go):
    first = start_supervisor("--cgroup", "off")
    worker, operator = first.connect(max_running=1), first.connect(role="operator")
    worker.run("job", f"read -r _ < {go}")
    worker.claim("waiting")
    drain(operator)
    since = first.connect().hello["draining"]
    assert operator.request("upgrade")["ok"]
    assert worker.hung_up()
    worker = first.connect(max_running=1)
    assert worker.hello["draining"] == since
    go.go()
    worker.event("job", "finished")
    worker.send("release", job="job")
    assert not [m for m in worker.sync() if m["type"] == "slot_granted"]
    first.process.kill()
    first.process.wait()
    second = start_supervisor("--cgroup", "off")
    assert second.connect().hello["draining"] == since


@pytest.mark.parametrize(
    ("kept", "drains"),
    [
        ('{"since": 5, "until_start": false, "boot": "an earlier one"}', False),
        ("{torn", False),
        ('{"since": "x", "until_start": false, "boot": ""}', False),
    ],
)
def test_a_drain_of_an_earlier_boot_is_over_and_a_torn_file_is_none(
    start_supervisor, state_dir, kept, drains
):
    state_dir.mkdir()
    (state_dir / "drain").write_text(kept)
    supervisor = start_supervisor("--cgroup", "off")
    assert ("draining" in supervisor.connect().hello) is drains
    assert supervisor.connect().claim("job")


def test_a_shutdown_of_the_service_ends_the_drain_at_its_next_start(start_supervisor, state_dir):
    first = start_supervisor("--cgroup", "off")
    operator, main = first.connect(role="operator"), first.connect(role="main")
    drain(operator)
    operator.close()
    main.request("shutdown", grace_s=0)
    assert first.process.wait() == 0
    second = start_supervisor("--cgroup", "off")
    operator = second.connect(role="operator")
    assert "draining" in operator.hello
    operator.request("resume", at_start=True)
    assert not (state_dir / "drain").exists()

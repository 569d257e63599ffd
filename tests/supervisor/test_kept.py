"""What a job keeps: processes that outlive it, and how they are ended."""

import signal
import time
from pathlib import Path

import pytest

from service.host.procfs import cgroup_of
from service.supervisor.kept.files import KeptFiles

CGROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
REDIRECTED = "< /dev/null > /dev/null 2>&1"
WAYS = ["off", pytest.param("auto", marks=pytest.mark.cgroup)]


@pytest.fixture
def ready(fifo):
    """Where processes of jobs write their numbers."""
    return fifo()


@pytest.fixture
def go(fifo):
    """What the job waits for."""
    return fifo()


def daemon(ready, body="exec sleep 1000", how="setsid bash -c", first=""):
    """The line that starts a daemon, which writes its number."""
    return f"{how} '{first} echo $$ > {ready}; {body}' {REDIRECTED} &"


def kept_of(event):
    return {process["pid"] for process in event.get("kept", ())}


def left_of(event):
    return {process["pid"] for process in event.get("left", ())}


def end(client, job, *, signal=15, grace_s=300, at=None):
    return client.request(
        "end_kept",
        job=job,
        signal=signal,
        grace_s=grace_s,
        reason="requested",
        requested_at=at or time.time_ns(),
    )


def begin_end(client, job, request_id, **fields):
    """Ask for it without waiting."""
    known = {"signal": 15, "grace_s": 300, "reason": "requested", "requested_at": time.time_ns()}
    client.send("end_kept", request_id=request_id, job=job, **known | fields)


def finish(client, job):
    event = client.event(job, "finished")
    client.send("release", job=job)
    return event


def is_noted(client, job):
    return (client.state_dir / "kept" / job).exists()


@pytest.mark.parametrize("how", ["bash -c", "setsid bash -c", "env -i setsid bash -c"])
def test_what_a_command_keeps_goes_on_and_is_ended_later(client, job, ready, how):
    client.run(job, daemon(ready, how=how), keep=True)
    (process,) = ready.pids(1)
    event = finish(client, job)
    assert (event["outcome"], event["output_complete"], event["kill"]) == ("exited", True, None)
    assert (left_of(event), kept_of(event)) == (set(), {process.number})
    assert [each["pid"] for each in event["kept"]] == [process.number]
    listed = client.request("list_processes", job=job)
    assert [pid for pid, _ in listed["processes"]] == [process.number]
    assert not process.is_gone
    reply = end(client, job)
    assert process.is_gone
    assert reply["is_gone"]
    receipt = reply["kill"]
    assert (receipt["found"], receipt["escalated"], receipt["verified_gone"]) == (1, False, True)
    again = end(client, job)
    assert again["kill"] == receipt
    (client.state_dir / "kept" / job).unlink()
    assert not end(client, job)["ok"]
    assert not client.request("list_processes", job=job)["ok"]


def test_without_keep_it_ends_as_before(client, job, ready, go):
    client.run(job, f"{daemon(ready)} read < {go}")
    (process,) = ready.pids(1)
    go.go()
    event = finish(client, job)
    assert (left_of(event), kept_of(event)) == ({process.number}, set())
    assert process.is_gone
    assert not is_noted(client, job)


def test_only_what_the_keeping_command_left_is_kept(client, job, ready, fifo):
    """Marked, unmarked and inherited processes of three commands, of which the second keeps."""
    unmarked = daemon(ready, how="env -i setsid bash -c")
    child = daemon(ready, body=f"sleep 1000 & echo $! > {ready}; wait")
    go = [fifo() for _ in range(3)]
    client.run(job, f"{daemon(ready)} {unmarked} read < {go[0]}", end_if="never")
    first = ready.pids(2)
    go[0].go()
    client.event(job, "ended")
    line = f"{child} {unmarked} read < {go[1]}"
    client.start(job, line, command=1, end_if="never", keep=True)
    second = ready.pids(3)
    go[1].go()
    client.event(job, "ended")
    client.start(job, f"{daemon(ready)} read < {go[2]}", command=2)
    third = ready.pids(1)
    go[2].go()
    event = finish(client, job)
    assert left_of(event) == {process.number for process in (*first, *third)}
    assert kept_of(event) == {process.number for process in second}
    assert all(process.is_gone for process in (*first, *third))
    assert not any(process.is_gone for process in second)
    assert end(client, job)["kill"]["found"] == 3
    assert all(process.is_gone for process in second)


def test_a_kill_of_a_running_job_ends_all(client, job, ready, go):
    client.run(job, f"{daemon(ready)} read < {go}", keep=True)
    (process,) = ready.pids(1)
    client.kill(job)
    event = finish(client, job)
    assert event["outcome"] == "killed"
    assert event["kill"]["verified_gone"]
    assert kept_of(event) == set()
    assert process.is_gone
    assert not is_noted(client, job)


def test_a_pipe_that_a_kept_process_holds_is_waited_for_once(client, job, ready):
    line = f"setsid bash -c 'echo $$ > {ready}; echo early; exec sleep 1000' & "
    client.run(job, line, keep=True, drain_s=0.3)
    (process,) = ready.pids(1)
    begun = time.monotonic()
    event = finish(client, job)
    assert time.monotonic() - begun < 60, "a wait that nothing ends would last for minutes"
    assert not event["output_complete"]
    assert client.output(job) == b"early\n"
    assert kept_of(event) == {process.number}
    assert end(client, job)["kill"]["verified_gone"]


def test_a_command_that_keeps_and_leaves_nothing_is_as_any_other(client, job):
    client.run(job, "echo done", keep=True)
    event = finish(client, job)
    assert event["output_complete"]
    assert "kept" not in event
    assert not is_noted(client, job)


def test_one_that_ignores_term_gets_kill_after_the_grace(client, job, ready):
    client.run(job, daemon(ready, first='trap "" TERM;'), keep=True)
    (process,) = ready.pids(1)
    finish(client, job)
    receipt = end(client, job, grace_s=0.1)["kill"]
    assert (receipt["escalated"], receipt["verified_gone"]) == (True, True)
    assert process.is_gone


def test_a_second_request_sends_its_signal_and_both_are_answered(client, job, ready):
    traps = f'trap "echo term > {ready}" TERM; trap exit USR1;'
    client.run(job, daemon(ready, "while :; do sleep 0.05; done", first=traps), keep=True)
    ready.line()
    finish(client, job)
    begin_end(client, job, 7001)
    assert ready.line() == "term"
    begin_end(client, job, 7002, signal=int(signal.SIGUSR1))
    replies = [client.expect("reply", request_id=number) for number in (7001, 7002)]
    assert replies[0]["kill"] == replies[1]["kill"]
    assert [later["signal"] for later in replies[0]["kill"]["later"]] == [signal.SIGUSR1]


def test_one_that_ends_by_itself_is_forgotten(client, job, ready, go):
    client.run(job, daemon(ready, body=f"read < {go}"), keep=True)
    (process,) = ready.pids(1)
    finish(client, job)
    assert is_noted(client, job)
    go.go()
    process.wait()
    while is_noted(client, job):  # each round trip is a turn of the supervisor's loop
        client.sync()
    assert not end(client, job)["ok"]


@pytest.mark.cgroup
def test_its_cgroup_goes_with_it(start_supervisor, ready):
    client = start_supervisor().connect()
    client.run("job", daemon(ready), keep=True)
    (process,) = ready.pids(1)
    finish(client, "job")
    cgroup = cgroup_of(process.number)
    assert cgroup.endswith("/job")
    directory = next(path for path in map(Path, CGROUPS) if (path / cgroup[1:]).is_dir())
    end(client, "job", grace_s=0)
    assert not (directory / cgroup[1:]).exists()


@pytest.mark.parametrize("way", WAYS)
def test_it_survives_the_supervisor_and_is_ended_by_the_next(start_supervisor, ready, go, way):
    first = start_supervisor("--cgroup", way)
    client = first.connect()
    client.run("kept", f"{daemon(ready)} {daemon(ready, how='env -i setsid bash -c')}", keep=True)
    kept = ready.pids(2)
    finish(client, "kept")
    client.run("running", f"{daemon(ready)} read < {go}", keep=True)
    (other,) = ready.pids(1)
    first.process.kill()
    first.process.wait()
    second = start_supervisor("--cgroup", way)
    assert other.is_gone, "its job was not over"
    assert not any(process.is_gone for process in kept)
    client = second.connect()
    assert client.request("close_orphaned_log", job="running")["ok"]
    reply = end(client, "kept")
    assert (reply["kill"]["found"], reply["kill"]["verified_gone"]) == (2, True)
    assert all(process.is_gone for process in kept)
    third_sees = KeptFiles(second.state_dir).living()
    assert third_sees == {}


def test_what_has_forked_since_is_found_by_the_next_supervisor(start_supervisor, ready, go):
    first = start_supervisor("--cgroup", "off")
    client = first.connect()
    body = f'read < {go}; setsid bash -c "echo \\$\\$ > {ready}; exec sleep 1000" & exit'
    client.run("job", daemon(ready, body=body), keep=True)
    (parent,) = ready.pids(1)
    finish(client, "job")
    first.process.kill()
    first.process.wait()
    go.go()
    parent.wait()
    (child,) = ready.pids(1)
    client = start_supervisor("--cgroup", "off").connect()
    assert not child.is_gone
    assert end(client, "job")["kill"]["verified_gone"]
    assert child.is_gone


def test_a_job_that_was_over_and_not_stored_is_lost_as_a_whole(start_supervisor, ready):
    """Its supervisor died before anybody had heard of its end."""
    first = start_supervisor("--cgroup", "off")
    client = first.connect()
    client.run("job", daemon(ready), keep=True)
    (process,) = ready.pids(1)
    client.event("job", "finished")
    first.process.kill()
    first.process.wait()
    second = start_supervisor("--cgroup", "off")
    client = second.connect()
    assert not process.is_gone
    assert client.request("close_orphaned_log", job="job")["ok"]
    process.wait()
    while is_noted(client, "job"):
        client.sync()


def test_an_upgrade_in_place_goes_on_with_it(start_supervisor, ready, go):
    supervisor = start_supervisor("--cgroup", "off")
    client = supervisor.connect()
    client.run("over", daemon(ready), keep=True)
    (kept,) = ready.pids(1)
    finish(client, "over")
    client.run("running", f"{daemon(ready)} read < {go}", keep=True)
    (other,) = ready.pids(1)
    client.send("upgrade")
    assert client.hung_up()
    client = supervisor.connect()
    client.expect("adopt", job="running")
    go.go()
    assert kept_of(finish(client, "running")) == {other.number}
    for job, process in (("over", kept), ("running", other)):
        assert end(client, job)["kill"]["verified_gone"]
        assert process.is_gone


def test_a_stop_of_the_supervisor_leaves_it(start_supervisor, ready):
    supervisor = start_supervisor("--cgroup", "off")
    client = supervisor.connect()
    client.run("job", daemon(ready), keep=True)
    (process,) = ready.pids(1)
    finish(client, "job")
    supervisor.process.terminate()
    assert supervisor.process.wait() == 0
    assert not process.is_gone
    client = start_supervisor("--cgroup", "off").connect()
    assert end(client, "job", grace_s=0)["kill"]["verified_gone"]


def test_other_jobs_end_verified_beside_it(client, job, ready):
    client.run(job, daemon(ready, how="env -i setsid bash -c"), keep=True)
    (process,) = ready.pids(1)
    finish(client, job)
    client.run(f"{job}-other", f"echo > {ready}; exec sleep 1000")
    ready.line()
    client.kill(f"{job}-other", grace_s=0)
    kill = finish(client, f"{job}-other")["kill"]
    assert (kill["found"], kill["verified_gone"]) == (1, True)
    assert not process.is_gone
    end(client, job, grace_s=0)

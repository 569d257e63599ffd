"""Whole trees: whatever a job's processes do to get away, they are gone when its end is reported."""

import os
import random
import signal
from pathlib import Path

import pytest

from service.host.procfs import all_pids, look_at, realtime_limit_of, variables_of
from service.supervisor.process.brand import brand_of
from service.supervisor.process.marks import mark_of


def _cgroup_root() -> str:
    """The root of the hierarchy of version 2, if this process may move others there."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line and os.access(f"{line.split()[4]}/cgroup.procs", os.W_OK):
            return line.split()[4]
    return ""


CGROUP_ROOT = _cgroup_root()

# One process each, that says its number and then stays. `{ready}` is where it says it.
STAY = "echo $BASHPID > {ready}; exec sleep 1000"
SHAPES = {
    "a child": "(" + STAY + ") &",
    "a grandchild": "((" + STAY + ") & wait) &",
    "one in a process group of its own": "set -m; (" + STAY + ") & set +m",
    "one in a session of its own": "setsid bash -c 'echo $$ > {ready}; exec sleep 1000' &",
    "a daemon, forked twice": "(setsid bash -c 'echo $$ > {ready}; exec sleep 1000' & )",
    "a daemon without files": "(setsid bash -c 'echo $$ > {ready}; exec sleep 1000 >&- 2>&-' & )",
    "one without its environment": "env -i bash -c 'echo $$ > {ready}; exec sleep 1000' &",
    "an orphan of the session": "( (" + STAY + ") & )",
    "one that ignores TERM": "(trap '' TERM; " + STAY + ") &",
    "one that is stopped": "(echo $BASHPID > {ready}; kill -STOP $BASHPID) &",
    "one with another's environment": "JOBRUNNER_JOB_ID=other bash -c '" + STAY + "' &",
}
# Into the root of the hierarchy, as a program may that moves processes.
LEAVE = "echo $BASHPID > {root}/cgroup.procs; " if CGROUP_ROOT else ""
OUTSIDE = "(env -i setsid bash -c '" + LEAVE + "echo $$ > {ready}; exec sleep 1000' & )"
SHAPES |= {
    "one without parent, session and environment": (
        "(env -i setsid bash -c 'echo $$ > {ready}; exec sleep 1000' & )"
    ),
    "a child that left the cgroup": "(" + LEAVE + STAY + ") &",
    "an orphan that left the cgroup": OUTSIDE,
    "a child of one that left the cgroup": "(" + LEAVE + "(" + STAY + ") & wait) &",
    "the command, which leaves the cgroup itself": LEAVE + "(" + STAY + ") &",
}
# As above, and without the brand.
UNTRACEABLE = (
    "(env -i setsid bash -c '"
    + LEAVE
    + "ulimit -S -R unlimited; echo $$ > {ready}; exec sleep 1000' & )"
)


def is_dead(pid):
    process = look_at(pid)
    return process is None or process.is_dead


@pytest.fixture
def ready(fifo):
    return fifo()


@pytest.fixture
def go(fifo):
    return fifo()


def grow(client, job, ready, go, *shapes, **options):
    """Start a job with these processes; all of them once they are up, the job's own as the last."""
    line = "\n".join(shape.format(ready=ready, root=CGROUP_ROOT) for shape in shapes)
    client.run(job, f"{line}\necho own $$ > {ready}; read < {go}; exit 3", **options)
    return ready.pids(len(shapes) + 1)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_kill_reaches(client, job, ready, go, shape):
    processes = grow(client, job, ready, go, shape)
    client.kill(job, grace_s=0.05)
    event = client.event(job, "finished")
    assert [p.number for p in processes if not p.is_gone] == []
    assert event["kill"]["verified_gone"]
    assert event["kill"]["found"] >= len(processes)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_end_of_a_job_reaches(client, job, ready, go, shape):
    processes = grow(client, job, ready, go, shape, drain_s=0.01)
    go.go()
    event = client.event(job, "finished")
    assert (event["outcome"], event["kill"]) == ("exited", None)
    assert client.event(job, "ended")["status"] == 3
    assert [p.number for p in processes if not p.is_gone] == []


def test_a_kill_reaches_all_of_them_at_once_and_counts_them(client, job, ready, go):
    processes = grow(client, job, ready, go, *SHAPES.values())
    client.kill(job, grace_s=0)
    event = client.event(job, "finished")
    assert [p.number for p in processes if not p.is_gone] == []
    # Beside those that said so: two subshells that wait for their children.
    assert event["kill"]["found"] == len(processes) + 2
    assert event["kill"]["verified_gone"]


def test_what_shares_nothing_with_its_job_is_reached_while_no_other_job_may_have_it(
    client, job, ready, go
):
    stray, process = grow(client, job, ready, go, UNTRACEABLE, drain_s=0.05)
    client.kill(job, grace_s=0)
    event = client.event(job, "finished")
    assert process.is_gone
    assert stray.is_gone
    assert event["kill"]["verified_gone"]
    assert event["kill"]["found"] == 2


def test_what_may_be_of_two_jobs_leaves_a_receipt_unsure_and_goes_with_the_last(
    client, job, ready, go
):
    (other,) = grow(client, f"{job}-other", ready, go)
    stray, process = grow(client, job, ready, go, UNTRACEABLE, drain_s=0.05)
    client.kill(job, grace_s=0)
    event = client.event(job, "finished")
    assert process.is_gone
    assert not stray.is_gone
    assert (event["kill"]["found"], event["kill"]["verified_gone"]) == (1, False)
    # A job that began later can't have it.
    client.run(f"{job}-later", f"echo up > {ready}; read < {go}")
    ready.line()
    client.kill(f"{job}-later", grace_s=0)
    assert client.event(f"{job}-later", "finished")["kill"]["verified_gone"]
    client.kill(f"{job}-other", grace_s=0)
    assert client.event(f"{job}-other", "finished")["kill"]["verified_gone"]
    assert stray.is_gone
    assert other.is_gone


def test_the_brand_of_another_job_leaves_no_doubt(client, job, ready, go):
    daemon, other = grow(client, f"{job}-other", ready, go, OUTSIDE)
    (process,) = grow(client, job, ready, go)
    client.kill(job, grace_s=0)
    event = client.event(job, "finished")
    assert (event["kill"]["found"], event["kill"]["verified_gone"]) == (1, True)
    assert process.is_gone
    assert not daemon.is_gone
    assert not other.is_gone


def test_what_was_seen_before_it_let_go_is_reached_later(client, job, ready, go, fifo):
    """By the walk too: the first signal sees it below its parent, and remembers it."""
    leave = fifo()
    line = (
        f"(trap '' TERM; env -i setsid bash -c \"trap '' TERM; echo \\$\\$ > {ready};"
        f' exec sleep 1000" & read < {leave}) &'
    )
    stray, process = grow(client, job, ready, go, line)
    client.kill(job)  # the subshell and the stray ignore it
    leave.go()  # the stray loses its parent
    process.wait()
    client.kill(job, grace_s=0)
    event = client.event(job, "finished")
    assert stray.is_gone
    assert event["kill"]["found"] == 3


@pytest.mark.parametrize("seed", range(4))
def test_after_a_verified_kill_no_process_has_a_mark_of_the_job(
    shared_supervisor, client, job, ready, go, seed
):
    chosen = random.Random(seed)
    shapes = chosen.sample([*SHAPES.values(), UNTRACEABLE], 6)
    processes = grow(client, job, ready, go, *shapes)
    client.kill(job, grace_s=chosen.choice([0, 0.05]))
    assert client.event(job, "finished")["kill"]["verified_gone"]
    assert [p.number for p in processes if not p.is_gone] == []
    brand, mark = brand_of(mark_of(shared_supervisor.state_dir), job), job.encode()
    for pid in all_pids():
        # A process that is dead and not reaped yet still has its limits.
        assert realtime_limit_of(pid) != brand or is_dead(pid)
        assert variables_of(pid).get(b"JOBRUNNER_JOB_ID") != mark


def test_one_that_replaces_itself_at_each_death_is_caught(client, job, ready, go):
    phoenix = f"phoenix() {{ trap '(phoenix) &' EXIT; trap exit TERM; echo > {ready}; sleep 1000 & wait; }}"
    client.run(job, f"{phoenix}\n(phoenix) & echo > {ready}; wait; read < {go}")
    ready.line()
    ready.line()
    client.kill(job, grace_s=0.2)
    event = client.event(job, "finished")
    assert event["kill"]["escalated"]
    assert event["kill"]["verified_gone"]


def test_a_hundred_processes_are_gone_at_once(client, job, ready, go):
    line = f"for i in {{1..100}}; do ( {STAY.format(ready=ready)} ) & done"
    client.run(job, f"{line}; echo $$ > {ready}; read < {go}")
    processes = ready.pids(101)
    client.kill(job, grace_s=0)
    assert client.event(job, "finished")["kill"]["found"] == 101
    assert [p.number for p in processes if not p.is_gone] == []


def test_a_kill_spares_other_jobs(client, job, ready, go):
    first = grow(client, job, ready, go, *SHAPES.values())
    second = grow(client, f"{job}-other", ready, go, *SHAPES.values())
    client.kill(job, grace_s=0)
    client.event(job, "finished")
    assert [p.number for p in first if not p.is_gone] == []
    assert [p.number for p in second if p.is_gone] == []


def test_term_comes_first_and_to_everybody(client, job, ready, go, fifo):
    said = fifo()
    trap = f"trap 'echo term > {said}; exit' TERM; echo $BASHPID > {ready}; read < {go}"
    client.run(job, f'({trap}) & (setsid bash -c "{trap}" &) \n {trap}')
    processes = ready.pids(3)
    client.kill(job)
    go.go(3)
    assert [said.line() for _ in processes] == ["term"] * 3
    event = client.event(job, "finished")
    assert (event["kill"]["signal"], event["kill"]["escalated"]) == (signal.SIGTERM, False)
    assert [p.number for p in processes if not p.is_gone] == []

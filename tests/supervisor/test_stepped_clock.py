"""A wall clock that is set back an hour at each look changes no duration."""

import sys

# Runs the rest of its arguments as the interpreter that they begin with would.
STEPPING = """
import itertools, runpy, sys, time
looks, honest = itertools.count(), time.time_ns
time.time_ns = lambda: honest() - next(looks) * 3_600_000_000_000
sys.argv = sys.argv[sys.argv.index("service.supervisor"):]
runpy.run_module("service.supervisor", run_name="__main__", alter_sys=True)
"""


def test_durations_are_those_of_a_clock_that_nobody_sets(start_supervisor, job):
    supervisor = start_supervisor("--cgroup", "off", wrapper=(sys.executable, "-c", STEPPING))
    client = supervisor.connect()
    client.run(job, "exec sleep 0.3")
    started = client.expect("event", job=job, name="started")
    ended = client.expect("event", job=job, name="ended")
    finished = client.expect("event", job=job, name="finished")
    assert started["at"] > ended["at"] > finished["at"]
    assert 0 <= started["waited_s"] < 60
    assert 0.3 <= ended["lasted_s"] <= finished["lasted_s"] < 60
    client.send("release", job=job)


def test_job_that_was_stored_before_its_claim_has_waited_for_longer(plain_supervisor, job):
    client = plain_supervisor.connect()
    assert client.request("claim", job=job, stored=True)["has_slot"]
    client.start(job, "true")
    assert "waited_s" not in client.expect("event", job=job, name="started")
    client.expect("event", job=job, name="finished")
    client.send("release", job=job)

"""What a caller can write into the audit log in a loop is bounded, and what is left out is counted."""

import json

import pytest

from service.access.audit import AuditLog
from service.access.bounded import BoundedAuditLog
from service.paths import StateDir


class Timer:
    def __init__(self, timers, at, callback):
        self.timers, self.at, self.callback = timers, at, callback

    def cancel(self):
        if self in self.timers:
            self.timers.remove(self)


class Loop:
    """Time and timers of the test's own."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def clock(self):
        return self.now

    def call_later(self, delay_s, callback):
        timer = Timer(self.timers, self.now + delay_s, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        self.now += seconds
        for timer in [t for t in self.timers if t.at <= self.now]:
            self.timers.remove(timer)
            timer.callback()


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def log(tmp_path, loop):
    written = AuditLog(tmp_path)
    yield BoundedAuditLog(written, loop.call_later, clock=loop.clock)
    written.close()


def lines_of(directory):
    path = StateDir(directory).audit_log
    return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []


def refuse(log, network="10.0.0.1", code="unauthenticated"):
    log.refuse(network, code=code, principal=None, client_ip=network, request="GET /")


def test_a_flood_is_a_few_lines_and_one_a_minute_that_counts_the_rest(log, loop, tmp_path):
    for _ in range(10_000):
        refuse(log)
    refuse(log, code="host_not_allowed")
    written = len(lines_of(tmp_path))
    assert 0 < written < 100
    loop.advance(60)
    last = lines_of(tmp_path)[-1]
    assert len(lines_of(tmp_path)) == written + 1
    assert last["action"] == "omit"
    assert last["omitted"] == 10_001 - written
    assert last["codes"] == {"unauthenticated": 10_000 - written, "host_not_allowed": 1}
    assert last["callers"] == {"10.0.0.1": 10_001 - written}
    loop.advance(600)
    assert len(lines_of(tmp_path)) == written + 1  # nothing was left out since, so no timer runs
    assert not loop.timers


def test_many_addresses_together_are_bounded_and_so_is_what_is_remembered(log, loop, tmp_path):
    for n in range(20_000):
        refuse(log, network=f"2001:db8:{n:x}::/64")
    written = len(lines_of(tmp_path))
    assert written < 400
    assert len(log._callers) <= 1001
    log.flush()
    last = lines_of(tmp_path)[-1]
    assert last["omitted"] == 20_000 - written
    assert len(last["callers"]) == 10
    assert len(StateDir(tmp_path).audit_log.read_bytes()) < 100_000


def test_each_line_is_written_or_counted_however_long_it_goes_on(log, loop, tmp_path):
    for n in range(5000):
        refuse(log)
        log.add("ann", "attach", principal="ann", job=str(n))
        loop.advance(0.1)
    log.flush()
    lines = lines_of(tmp_path)
    omitted = sum(line.get("omitted", 0) for line in lines)
    assert sum(line["action"] != "omit" for line in lines) + omitted == 10_000
    assert sum(line["action"] == "omit" for line in lines) <= 10  # 500 s
    assert sum(line["action"] == "refuse" for line in lines) < 150


def test_what_one_principal_does_takes_nothing_from_another(log, tmp_path):
    for n in range(5000):
        log.add("ann", "attach", principal="ann", job=str(n))
        refuse(log)
    log.add("bob", "attach", principal="bob", job="1")
    assert lines_of(tmp_path)[-1]["principal"] == "bob"


def test_what_changes_a_job_is_always_written(log, tmp_path):
    for n in range(3000):
        log.always("submit", principal="ann", job=str(n))
    assert len(lines_of(tmp_path)) == 3000


def test_nothing_is_flushed_when_nothing_was_left_out(log, tmp_path):
    refuse(log)
    log.flush()
    assert [line["action"] for line in lines_of(tmp_path)] == ["refuse"]

"""What becomes of live jobs that no supervisor knows, and of those whose recovery was broken off."""

import asyncio

import pytest
from fake_supervisor import FUSE_S, adopt, record_of, slot, spec_of

from service.engine.recovery import Recovery
from service.errors import Unavailable
from service.jobs.record import Kill
from service.jobs.states import Reason, State

CLOSED = {"ok": True, "end_offset": 7, "output_complete": True}
NOTHING = frozenset()


@pytest.fixture
async def recovery(settings_of_engine, records, writer, driver):
    recovery = Recovery(settings_of_engine, records, writer, driver)
    yield recovery
    driver.lost()
    recovery.lost()
    await recovery.close()


@pytest.fixture
def replies(session):
    session.replies |= {
        "claim": {"ok": True, "has_slot": False},
        "close_orphaned_log": CLOSED,
        "kill": {"ok": True},
    }
    return session.replies


def claimed(session):
    return [m["job"] for m in session.requested if m["type"] == "claim"]


def released(session):
    return [m["job"] for m in session.sent if m["type"] == "release"]


async def test_a_job_that_never_began_is_driven_on(recovery, driver, session, records, replies):
    records.insert(record_of("a"))
    replies["claim"] = {"ok": True, "has_slot": True}
    await recovery.run(session, NOTHING)
    assert driver.drives("a")
    assert session.types() == ["start"]
    assert records.get("a").dispatched == 0


async def test_a_job_that_waits_for_a_slot_starts_with_it(
    recovery, driver, session, records, replies
):
    records.insert(record_of("a"))
    await recovery.run(session, NOTHING)
    assert session.sent == []
    driver.received([slot("a")])
    assert session.types() == ["start"]


async def test_a_job_that_may_have_run_is_lost_and_not_run_again(
    recovery, driver, session, records, replies, told
):
    records.insert(record_of("a", dispatched=0))
    replies["claim"] = {"ok": True, "has_slot": True}
    await recovery.run(session, NOTHING)
    record = records.get("a")
    assert (record.state, record.reason, record.output_bytes) == (State.KILLED, Reason.LOST, 7)
    assert session.sent == [{"type": "release", "job": "a", "state": "killed"}]
    assert told.ended == ["a"]
    assert not driver.drives("a")


async def test_a_job_whose_kill_was_recorded_is_killed(recovery, session, records, replies):
    records.insert(record_of("a"))
    kill = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=1.0)
    records.kills.add("a", kill)
    await recovery.run(session, NOTHING)
    record = records.get("a")
    assert (record.state, record.reason, record.kill.found) == (State.KILLED, Reason.REQUESTED, 0)
    assert released(session) == ["a"]


async def test_a_job_that_waited_too_long_is_killed(recovery, session, records, replies):
    records.insert(record_of("a", spec=spec_of(queue_timeout_s=1.0)))
    await recovery.run(session, NOTHING)
    record = records.get("a")
    assert (record.state, record.reason) == (State.KILLED, Reason.QUEUE_TIMEOUT)


async def test_a_job_whose_record_cannot_be_read_is_lost_with_an_error(
    recovery, session, records, replies
):
    records.insert(record_of("a"))
    records.connection.execute("UPDATE jobs SET commands = 'nonsense'")
    await recovery.run(session, NOTHING)
    record = records.get("a")
    assert (record.state, record.reason) == (State.KILLED, Reason.LOST)
    assert "commands" in record.error
    assert recovery.damaged == 1
    assert released(session) == ["a"]


async def test_registered_and_driven_jobs_are_not_claimed(
    recovery, driver, session, records, replies
):
    for job_id in ("a", "b"):
        records.insert(record_of(job_id))
    await recovery.run(session, frozenset({"a"}))
    assert claimed(session) == ["b"]
    await recovery.run(session, frozenset({"a"}))
    assert claimed(session) == ["b"]


async def test_a_job_that_another_worker_claimed_is_left_to_it(
    recovery, driver, session, records, replies
):
    records.insert(record_of("a", dispatched=0))
    replies["claim"] = {"ok": False, "why": "already_claimed"}
    await recovery.run(session, NOTHING)
    assert records.state_of("a") is State.PENDING
    assert session.sent == []
    assert driver.open_claim("a") is None


async def test_a_log_that_cannot_be_closed_stops_no_other_job_and_is_tried_again(
    recovery, session, records, replies
):
    for job_id in ("a", "b"):
        records.insert(record_of(job_id, dispatched=0))
    refused = {"ok": False, "why": "the disk is full"}
    replies["close_orphaned_log"] = lambda m: refused if m["job"] == "a" else CLOSED
    with pytest.raises(Unavailable, match="the disk is full"):
        await recovery.run(session, NOTHING)
    assert (records.state_of("a"), records.state_of("b")) == (State.PENDING, State.KILLED)
    # Released, as a claim that is kept would be refused the next time.
    assert released(session) == ["a", "b"]
    replies["close_orphaned_log"] = CLOSED
    await recovery.run(session, NOTHING)
    assert records.state_of("a") is State.KILLED


async def test_one_job_that_makes_no_sense_stops_no_other(recovery, session, records, replies):
    for job_id in ("a", "b"):
        records.insert(record_of(job_id, dispatched=0))
    nonsense = {"ok": True}  # and where its log ends is missing
    asked = []

    def close(message):
        asked.append(message["job"])
        return nonsense if asked == ["a"] else CLOSED

    replies["close_orphaned_log"] = close
    await recovery.run(session, NOTHING)
    assert "can't be taken over" in records.get("a").error
    assert records.state_of("b") is State.KILLED


async def test_recorded_kills_are_sent(recovery, session, records, replies):
    kill = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=1.0)
    records.insert(record_of("a", dispatched=0))
    records.kills.add("a", kill)
    await recovery.run(session, frozenset({"a"}))
    assert [(m["type"], m["job"]) for m in session.requested] == [("kill", "a")]


# ---------------------------------------------------------------------------- over a connection


def connect(recovery, session, *jobs):
    recovery.connected(session, {"jobs": jobs})


async def until(session, is_reached):
    async with asyncio.timeout(FUSE_S):
        await session.until(is_reached)


async def test_a_connection_recovers_what_its_supervisor_does_not_know(
    recovery, session, records, replies
):
    for job_id in ("a", "b"):
        records.insert(record_of(job_id, dispatched=0))
    connect(recovery, session, "a")
    await until(session, lambda: released(session))
    assert (records.state_of("a"), records.state_of("b")) == (State.PENDING, State.KILLED)
    assert recovery.trouble is None


async def test_an_adopted_job_is_left_to_the_next_worker_when_the_connection_is_lost(
    recovery, driver, session, records, replies
):
    records.insert(record_of("a", dispatched=0))
    del replies["close_orphaned_log"]
    connect(recovery, session, "a")
    driver.received([adopt("a", is_recovered=True)])
    await until(session, lambda: session.requested)
    session.lose()
    driver.lost()
    recovery.lost()
    await recovery.close()
    assert session.sent == []
    assert records.state_of("a") is State.PENDING


async def test_a_recovery_that_fails_says_so_and_is_tried_again(
    recovery, session, records, replies, monkeypatch
):
    monkeypatch.setattr("service.engine.recovery._RETRY_S", 0.0)
    records.insert(record_of("a", dispatched=0))
    troubles = []

    def close(_message):
        troubles.append(recovery.trouble)
        return {"ok": False, "why": "the disk is full"} if len(troubles) < 3 else CLOSED

    replies["close_orphaned_log"] = close
    connect(recovery, session)
    await until(session, lambda: records.state_of("a") is State.KILLED)
    assert troubles[0] is None
    assert "the disk is full" in troubles[1]


async def test_a_lost_connection_ends_its_recovery_at_once_and_decides_nothing(
    recovery, driver, session, records, replies
):
    records.insert(record_of("a", dispatched=0))
    del replies["close_orphaned_log"]
    connect(recovery, session)
    await until(session, lambda: len(session.requested) == 2)
    session.lose()
    driver.lost()
    recovery.lost()
    while recovery.trouble is None:
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=FUSE_S)
    assert "lost meanwhile" in recovery.trouble
    assert (len(session.requested), session.sent) == (2, [])
    assert records.state_of("a") is State.PENDING


async def test_a_recovery_that_was_broken_off_is_gone_on_with(
    recovery, driver, session, records, replies
):
    records.insert(record_of("a", dispatched=0))
    connect(recovery, session, "a")
    driver.received([adopt("a", has_slot=True, is_recovered=True)])
    await until(session, lambda: session.sent)
    assert session.sent == [{"type": "release", "job": "a", "state": "killed"}]
    assert records.state_of("a") is State.KILLED


async def test_a_recovery_that_is_run_again_leaves_the_jobs_of_open_claims_alone(
    recovery, driver, session, records, replies
):
    """It would be refused, and what is parked for the job given to nobody."""
    records.insert(record_of("a", dispatched=0))
    driver.received([adopt("a", has_slot=False, is_recovered=True), slot("a")])
    claim = driver.open_claim("a")
    await recovery.run(session, NOTHING)
    assert claimed(session) == []
    assert driver.open_claim("a") is claim
    assert claim.parked == [slot("a")]


async def test_a_claim_without_a_reply_is_made_again_once_it_is_decided(
    recovery, driver, session, records, replies, monkeypatch
):
    monkeypatch.setattr("service.engine.recovery.REPLY_TIMEOUT_S", 0.0)
    records.insert(record_of("a", dispatched=0))
    del replies["claim"]
    with pytest.raises(Unavailable):
        await recovery.run(session, NOTHING)
    with pytest.raises(Unavailable, match="hasn't answered"):
        await recovery.run(session, NOTHING)
    assert claimed(session) == ["a"]
    session.answer_late(ok=True, has_slot=False)
    assert released(session) == ["a"]
    replies["claim"] = {"ok": True, "has_slot": False}
    monkeypatch.setattr("service.engine.recovery.REPLY_TIMEOUT_S", FUSE_S)
    await recovery.run(session, NOTHING)
    assert records.state_of("a") is State.KILLED


async def test_kills_that_were_recorded_in_a_silence_are_sent_after_it(
    recovery, session, records, replies
):
    connect(recovery, session, "a")
    record = record_of("a", dispatched=0)
    records.insert(record)
    kill = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=1.0)
    records.kills.add("a", kill)
    recovery.awake()
    await until(session, lambda: "kill" in [m["type"] for m in session.requested])

"""What a driver stores, sends and says of its jobs, in which order."""

import asyncio
import contextlib

import pytest
from fake_supervisor import FUSE_S, adopt, ended, finished, record_of, slot, spec_of, started
from msgspec.structs import replace

from service.engine.live_job import LiveJob
from service.jobs.record import Kill
from service.jobs.states import Reason, State
from service.store import Store


@pytest.fixture
def own(driver, records, session):
    """Has the driver own a new job that has a slot."""

    def made(job_id="a", commands=1):
        record = records.insert(record_of(job_id, commands, dispatched=0))
        claim = driver.claim(job_id)
        with claim:
            claim.own(LiveJob(record, spec_of(commands), has_slot=True))
        session.sent.clear()

    return made


def sent(session):
    return [
        {key: m[key] for key in m if key in ("type", "job", "seq", "state")} for m in session.sent
    ]


async def test_an_event_is_acknowledged_once_it_is_stored(driver, session, records, own, told):
    own()
    told.awaited.add("a")
    looked = []
    session.send = lambda *_messages: looked.append(records.state_of("a"))
    driver.received([started("a")])
    assert looked == [State.RUNNING]


async def test_a_start_that_nobody_waits_for_is_stored_with_what_follows(
    driver, session, records, own
):
    own()
    driver.received([started("a")])
    assert records.state_of("a") is State.PENDING
    driver.received([ended("a"), finished("a")])
    assert records.get("a").revision == 1
    assert records.state_of("a") is State.EXITED
    assert sent(session) == [{"type": "release", "job": "a", "state": "exited"}]


async def test_a_start_that_was_held_is_stored_when_somebody_asks(driver, session, records, own):
    own()
    driver.received([started("a")])
    driver.settle()
    assert records.state_of("a") is State.RUNNING
    assert sent(session) == [{"type": "ack", "job": "a", "seq": 1, "state": "running"}]


async def test_a_start_that_was_held_is_stored_after_a_moment(driver, session, records, own):
    own()
    driver.received([started("a")])
    await session.until(lambda: session.sent)
    assert records.state_of("a") is State.RUNNING


async def test_the_start_of_a_later_command_is_stored_at_once(driver, session, records, own):
    own(commands=2)
    driver.received([started("a"), ended("a", ends_job=False)])
    session.sent.clear()
    driver.received([started("a", seq=3, command=1)])
    assert records.get("a").commands[1].state is State.RUNNING
    assert [message["type"] for message in session.sent] == ["ack"]


async def test_the_next_command_is_sent_with_the_acknowledgement(driver, session, records, own):
    own(commands=2)
    driver.received([started("a"), ended("a", ends_job=False)])
    assert records.get("a").dispatched == 1
    assert [(m["type"], m.get("command")) for m in session.sent] == [("ack", None), ("start", 1)]


async def test_who_waits_hears_of_each_change_and_retention_of_the_end(driver, own, told):
    own()
    driver.received([started("a"), ended("a")])
    driver.received([finished("a")])
    assert told.states == [("a", State.RUNNING), ("a", State.EXITED)]
    assert told.ended == ["a"]


async def test_a_change_that_another_worker_published_is_passed_on(driver, session, told):
    driver.received([{"type": "job_changed", "job": "b", "state": "running"}])
    assert told.states == [("b", State.RUNNING)]
    assert session.sent == []


async def test_nothing_is_sent_of_what_could_not_be_stored_and_it_is_tried_again(
    driver, session, records, own
):
    own()
    records.connection.execute("PRAGMA query_only = ON")
    driver.received([started("a"), ended("a")])
    driver.received([finished("a")])
    assert session.sent == []
    assert "can't be reached" in driver.fault
    records.connection.execute("PRAGMA query_only = OFF")
    await session.until(lambda: session.sent)
    assert driver.fault is None
    assert records.state_of("a") is State.EXITED
    # Whether its command was sent isn't known then; the supervisor ignores a repeat.
    assert [m for m in sent(session) if m["type"] != "start"] == [
        {"type": "release", "job": "a", "state": "exited"}
    ]


async def test_a_record_that_another_process_changed_is_read_again(
    driver, session, settings_of_engine, records, own
):
    own()
    with contextlib.closing(Store(settings_of_engine.state_dir / "jobs.db")) as other:
        other.update(replace(other.get("a"), name="changed"), before=State.PENDING)
    driver.received([started("a"), ended("a")])
    assert (records.get("a").revision, records.state_of("a")) == (2, State.RUNNING)
    assert session.types()[:1] == ["ack"]


async def test_an_event_of_a_job_that_is_not_ours_is_ignored(driver, session, records):
    records.insert(record_of("b"))
    driver.received([ended("b"), slot("b")])
    assert session.sent == []
    assert records.get("b").revision == 0


async def test_a_job_of_which_nonsense_comes_ends_and_stops_no_other(
    driver, session, records, own, told
):
    own("a")
    own("b")
    driver.received([ended("a", command=7), started("b"), ended("b")])
    record = records.get("a")
    assert (record.state, record.reason) == (State.KILLED, Reason.LOST)
    assert "makes no sense" in record.error
    assert driver.damaged == 1
    assert not driver.drives("a")
    assert records.state_of("b") is State.RUNNING
    assert {m["job"] for m in session.sent if m["type"] == "release"} == {"a"}


async def test_a_rejected_start_ends_the_job(driver, records, own):
    own()
    driver.received([{"type": "rejected", "job": "a", "rejected": "start", "error": "argv"}])
    assert records.state_of("a") is State.KILLED


async def test_a_lost_connection_takes_all_jobs_and_what_is_held(driver, session, records, own):
    own()
    driver.received([started("a")])
    driver.lost()
    assert not driver.drives("a")
    driver.settle()
    assert records.state_of("a") is State.PENDING
    assert session.sent == []


# -------------------------------------------------------------------------------------- adopted


async def test_an_adopted_job_goes_on_where_it_stands(driver, session, records):
    records.insert(record_of("a", 2, dispatched=0))
    driver.received(
        [adopt("a", started("a"), ended("a", ends_job=False), has_slot=True, dispatched=0)]
    )
    assert driver.drives("a")
    assert records.get("a").dispatched == 1
    assert session.types() == ["ack", "start"]


async def test_an_adopted_job_without_a_record_is_released(driver, session):
    driver.received([adopt("a")])
    assert sent(session) == [{"type": "release", "job": "a"}]


async def test_an_adopted_job_that_is_finished_is_published_and_released(
    driver, session, records, told
):
    """The worker that stored its end died before it said so."""
    record = records.insert(record_of("a"))
    records.update(replace(record, state=State.EXITED, finished_at=9), before=State.PENDING)
    driver.received([adopt("a", has_slot=True)])
    assert sent(session) == [{"type": "release", "job": "a", "state": "exited"}]
    assert told.ended == ["a"]
    assert not driver.drives("a")


async def test_a_recorded_kill_is_sent_when_its_job_is_adopted(driver, session, records):
    records.insert(record_of("a"))
    kill = Kill(reason=Reason.REQUESTED, requested_at=5, signal="SIGTERM", grace_s=1.0)
    records.kills.add("a", kill)
    driver.received([adopt("a")])
    assert [(m["type"], m["is_repeat"]) for m in session.sent] == [("kill", True)]


async def test_a_job_that_a_dead_supervisor_may_have_run_waits_for_its_recovery(
    driver, session, records
):
    records.insert(record_of("a", dispatched=0))
    driver.received([adopt("a", has_slot=True, is_recovered=True), slot("a")])
    assert session.sent == []
    assert not driver.drives("a")
    claim = driver.unrecovered.get_nowait()
    assert (claim.job_id, claim.is_granted, claim.has_slot) == ("a", True, True)
    assert claim.parked == [slot("a")]


async def test_no_job_is_recovered_over_a_connection_that_is_lost(driver, records):
    records.insert(record_of("a", dispatched=0))
    driver.received([adopt("a", is_recovered=True)])
    driver.lost()
    assert driver.unrecovered.empty()


async def test_a_batch_that_is_stored_later_parks_nothing_twice(
    driver, session, settings_of_engine, records, own
):
    own("b")
    records.insert(record_of("a", dispatched=0))
    with contextlib.closing(Store(settings_of_engine.state_dir / "jobs.db")) as other:
        other.update(replace(other.get("b"), name="changed"), before=State.PENDING)
    driver.received([adopt("a", is_recovered=True), slot("a"), started("b"), ended("b")])
    async with asyncio.timeout(FUSE_S):
        claim = await driver.unrecovered.get()
    assert claim.parked == [slot("a")]
    assert driver.open_claim("a") is claim
    assert driver.unrecovered.empty()


# ------------------------------------------------------------------------- a supervisor that ends


async def test_a_job_whose_start_was_never_carried_out_is_stored_as_pending_and_released(
    driver, session, records, own
):
    own()
    assert records.get("a").dispatched == 0
    driver.received([{"type": "slot_revoked", "job": "a"}])
    record = records.get("a")
    assert (record.state, record.dispatched) == (State.PENDING, -1)
    assert sent(session) == [{"type": "release", "job": "a"}]
    assert not driver.drives("a")


async def test_a_slot_that_is_revoked_while_its_job_is_being_submitted_leaves_it_pending(
    driver, session, records
):
    claim = driver.claim("a")
    with claim:
        driver.received([{"type": "slot_revoked", "job": "a"}])
        record = records.insert(record_of("a", 1, dispatched=0))
        claim.own(LiveJob(record, spec_of(1), has_slot=True))
    assert records.get("a").dispatched == -1
    assert sent(session)[-1] == {"type": "release", "job": "a"}


async def test_a_job_that_was_adopted_from_its_record_is_released_without_a_change(
    driver, session, records
):
    records.insert(record_of("a", 1))
    driver.received([adopt("a", has_slot=False), {"type": "slot_revoked", "job": "a"}])
    assert records.get("a").revision == 0
    assert sent(session)[-1] == {"type": "release", "job": "a"}

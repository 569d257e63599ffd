"""A claim is a scope: left with the job it is driven, left otherwise it is released, and nothing
that came meanwhile is lost."""

import asyncio

import pytest
from fake_supervisor import ended, finished, record_of, slot, spec_of, started

from service.engine.live_job import LiveJob
from service.jobs.states import State
from service.link.session import ConnectionLost

CLAIM = {"type": "claim", "job": "a"}
RELEASE = {"type": "release", "job": "a"}


@pytest.fixture
async def granted(driver, session):
    """Enters the claim of a job that the supervisor grants."""

    async def ask(claim, *, has_slot=False):
        session.replies["claim"] = {"ok": True, "has_slot": has_slot}
        await claim.request(session, CLAIM)
        return claim

    return ask


def stored(records, job_id="a", *, dispatched=-1, **fields):
    record = records.insert(record_of(job_id, dispatched=dispatched, **fields))
    return LiveJob(record, spec_of(), has_slot=dispatched >= 0)


async def test_a_job_that_is_owned_is_driven_and_started(driver, session, records, granted):
    with driver.claim("a") as claim:
        await granted(claim, has_slot=True)
        assert (claim.is_granted, claim.has_slot) == (True, True)
        claim.own(stored(records, dispatched=0))
    assert driver.drives("a")
    assert [(m["type"], m["command"]) for m in session.sent] == [("start", 0)]
    assert driver.open_claim("a") is None


async def test_a_claim_that_is_left_otherwise_is_released(driver, session, granted):
    with driver.claim("a") as claim:
        await granted(claim)
        driver.received([slot("a")])
    assert not driver.drives("a")
    assert session.sent == [RELEASE]
    assert driver.open_claim("a") is None


async def test_a_claim_is_released_when_its_scope_fails(driver, session, granted):
    with pytest.raises(OSError, match="no such thing"), driver.claim("a") as claim:
        await granted(claim)
        raise OSError("no such thing")
    assert session.sent == [RELEASE]


async def test_a_claim_that_was_not_asked_for_releases_nothing(driver, session):
    with driver.claim("a"):
        pass
    assert session.sent == []
    assert driver.open_claim("a") is None


async def test_what_comes_before_the_job_is_owned_waits_for_it(driver, session, records, granted):
    with driver.claim("a") as claim:
        await granted(claim)
        driver.received([slot("a")])
        assert session.sent == []
        claim.own(stored(records))
    assert session.types() == ["start"]
    assert records.get("a").dispatched == 0


async def test_what_comes_of_a_refused_claim_is_given_back(driver, session, records, granted):
    """As when this worker drives the job already."""
    with driver.claim("a") as claim:
        await granted(claim, has_slot=True)
        claim.own(stored(records, dispatched=0))
    session.replies["claim"] = {"ok": False, "why": "already_claimed"}
    with driver.claim("a") as claim:
        assert not (await claim.request(session, CLAIM))["ok"]
        driver.received([started("a"), ended("a")])
        driver.received([finished("a")])
        assert records.state_of("a") is State.PENDING
    assert records.state_of("a") is State.EXITED
    assert session.sent[-1] == {**RELEASE, "state": "exited"}


async def given_up(claim, session):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await claim.request(session, CLAIM)


@pytest.mark.parametrize(("ok", "sent"), [(True, [RELEASE]), (False, [])])
async def test_a_claim_that_was_given_up_is_decided_by_its_late_reply(driver, session, ok, sent):
    with driver.claim("a") as claim:
        await given_up(claim, session)
    assert driver.open_claim("a") is claim
    assert claim.is_unanswered
    driver.received([slot("a")])
    assert session.sent == []
    session.answer_late(ok=ok, has_slot=False)
    assert driver.open_claim("a") is None
    assert session.sent == sent


async def test_a_reply_in_the_turn_of_the_giving_up_decides_once(driver, session):
    with driver.claim("a") as claim:
        await given_up(claim, session)
        session.answer_late(ok=True, has_slot=False)
        assert session.sent == [RELEASE]
    assert session.sent == [RELEASE]


@pytest.mark.parametrize("owns", [True, False])
async def test_a_lost_connection_ends_the_claim_and_sends_nothing(
    driver, session, records, granted, owns
):
    with driver.claim("a") as claim:
        await granted(claim)
        driver.lost()
        if owns:
            claim.own(stored(records))
    assert not driver.drives("a")
    assert session.sent == []


async def test_a_connection_that_is_lost_before_the_reply_leaves_no_claim(driver, session):
    def lose(_message):
        raise ConnectionLost

    session.replies["claim"] = lose
    with pytest.raises(ConnectionLost), driver.claim("a") as claim:
        await claim.request(session, CLAIM)
    assert driver.open_claim("a") is None
    assert session.sent == []


async def test_a_job_that_ended_in_its_claim_is_published_with_the_release(
    driver, session, told, granted
):
    with driver.claim("a") as claim:
        await granted(claim)
        claim.final_state = State.KILLED
    assert session.sent == [{**RELEASE, "state": "killed"}]
    assert (told.states, told.ended) == ([("a", State.KILLED)], ["a"])

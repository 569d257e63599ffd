"""A request for a signal is made once: whose reply is lost is told that nobody knows."""

import asyncio

import pytest
from fake_supervisor import FakeSession

from service.engine import signalling
from service.errors import OutcomeUnknown

pytestmark = pytest.mark.once

MESSAGE = {"type": "signal", "job": "job", "signal": 1}


async def test_a_request_whose_connection_is_lost_is_not_made_again():
    session = FakeSession()
    asking = asyncio.create_task(signalling.request_once(session, MESSAGE))
    await session.until(lambda: session.requested)
    session.lose()
    with pytest.raises(OutcomeUnknown, match="may have been sent"):
        await asking
    assert session.requested == [MESSAGE]


async def test_a_request_that_is_not_answered_is_given_up(monkeypatch):
    monkeypatch.setattr(signalling, "REPLY_TIMEOUT_S", 0.0)
    session = FakeSession()
    with pytest.raises(OutcomeUnknown):
        await signalling.request_once(session, MESSAGE)
    assert session.requested == [MESSAGE]


async def test_a_reply_is_given_back():
    session = FakeSession()
    session.replies["signal"] = {"ok": True, "processes": 3}
    assert (await signalling.request_once(session, MESSAGE))["processes"] == 3

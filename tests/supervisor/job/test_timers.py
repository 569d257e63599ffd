"""A timer that is due fires only after a look at what has happened."""

from __future__ import annotations

import asyncio

from service.supervisor.job.effects import Timer
from service.supervisor.job.timers import Timers


async def test_what_has_happened_meanwhile_disarms_a_timer_that_is_due():
    loop = asyncio.get_running_loop()
    looked = loop.create_future()

    def look() -> None:
        timers.disarm(Timer.GRACE)
        looked.set_result(None)

    fired: list[Timer] = []
    timers = Timers(loop, fired.append, look)
    timers.arm(Timer.GRACE, 0)
    await looked
    assert fired == []
    assert timers.snapshot() == {}


async def test_one_that_is_moved_meanwhile_fires_at_its_new_time():
    loop = asyncio.get_running_loop()
    looked = loop.create_future()

    def look() -> None:
        timers.arm(Timer.IDLE, 1000)
        looked.set_result(None)

    fired: list[Timer] = []
    timers = Timers(loop, fired.append, look)
    timers.arm(Timer.IDLE, 0)
    await looked
    assert fired == []
    assert set(timers.snapshot()) == {Timer.IDLE}
    timers.clear()


async def test_without_news_it_fires():
    fired = asyncio.get_running_loop().create_future()
    timers = Timers(asyncio.get_running_loop(), fired.set_result)
    timers.arm(Timer.DRAIN, 0)
    assert await fired is Timer.DRAIN

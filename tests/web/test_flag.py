"""The flags of a connection, against the `asyncio.Event` that Sanic has in their place."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable

import pytest

from service.web.flag import Flag


async def _waiting(flag: Flag) -> asyncio.Task[bool]:
    """A task that has begun to wait."""
    begun = asyncio.get_running_loop().create_future()

    async def wait() -> bool:
        begun.set_result(None)
        return await flag.wait()

    task = asyncio.create_task(wait())
    await begun
    return task


async def test_a_flag_that_is_set_is_not_waited_for():
    flag = Flag(is_set=True)
    waiting = flag.wait()
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_everybody_who_waits_goes_on_once_it_is_set():
    flag = Flag(is_set=False)
    tasks = [await _waiting(flag) for _ in range(3)]
    assert not any(task.done() for task in tasks)
    flag.set()
    assert flag.is_set()
    assert await asyncio.gather(*tasks) == [True] * 3


async def test_who_was_let_go_on_does_so_though_it_is_cleared_at_once():
    flag = Flag(is_set=False)
    task = await _waiting(flag)
    flag.set()
    flag.clear()
    assert await task
    assert not flag.is_set()


async def test_a_cancelled_wait_leaves_the_others_waiting():
    flag = Flag(is_set=False)
    cancelled, other = await _waiting(flag), await _waiting(flag)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert not other.done()
    flag.set()
    assert await other


async def test_a_wait_that_is_cancelled_after_it_was_set_is_cancelled():
    flag = Flag(is_set=False)
    task = await _waiting(flag)
    flag.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    flag.set()  # nobody of whom it would still know


def test_a_flag_that_nobody_waits_for_takes_a_fifth_of_an_event_at_most():
    def bytes_of(make: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            made = [make() for _ in range(1000)]
            return tracemalloc.get_traced_memory()[0] // len(made)
        finally:
            tracemalloc.stop()

    assert bytes_of(lambda: Flag(is_set=False)) < bytes_of(asyncio.Event) / 5

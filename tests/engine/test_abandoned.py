"""Work in threads that may never end: bounded in number, and nobody has to wait for it."""

import asyncio
import threading

import pytest

from service.engine.abandoned import AbandonedThreads


class Stuck:
    """Work that ends when it is let go, as that on a file system whose server is gone."""

    def __init__(self):
        self.began, self._go = threading.Event(), threading.Event()

    def __call__(self):
        self.began.set()
        self._go.wait()
        return "late"

    def let_go(self):
        self._go.set()
        for thread in threading.enumerate():
            if thread.name == "abandonable":
                thread.join()


@pytest.fixture
def stuck():
    work = Stuck()
    yield work
    work.let_go()


async def test_work_returns_what_it_returns_and_raises_what_it_raises():
    threads = AbandonedThreads(1)

    def fail():
        raise OSError(5, "broken")

    assert await threads.run(lambda: threading.current_thread().daemon) is True
    with pytest.raises(OSError, match="broken"):
        await threads.run(fail)


async def test_who_has_a_result_may_ask_again_at_once():
    threads = AbandonedThreads(1)
    for number in range(200):
        assert await threads.run(lambda number=number: number) == number


async def test_who_gives_up_leaves_the_work_to_itself_and_its_place_taken(stuck):
    threads = AbandonedThreads(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await threads.run(stuck)
    stuck.began.wait()
    with pytest.raises(TimeoutError, match="others have not ended yet"):
        await threads.run(lambda: "at once")
    stuck.let_go()
    assert await threads.run(lambda: "at once") == "at once"


async def test_others_go_on_beside_work_that_is_stuck(stuck):
    threads = AbandonedThreads(2)
    waiting = asyncio.create_task(threads.run(stuck))
    await asyncio.to_thread(stuck.began.wait)
    assert await threads.run(lambda: "beside") == "beside"
    assert not waiting.done()
    stuck.let_go()
    assert await waiting == "late"

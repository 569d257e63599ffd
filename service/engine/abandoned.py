"""Work in threads that may never end: whoever waits for it may give up, and so may this process,
which doesn't wait for such threads at its end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class AbandonedThreads:
    """At most `limit` at a time."""

    def __init__(self, limit: int) -> None:
        self._free = threading.Semaphore(limit)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises: TimeoutError, when too many others are under way; what
        `work` raises.
        """
        if not self._free.acquire(blocking=False):
            raise TimeoutError("others have not ended yet")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # whoever gives up doesn't cancel it

        def run() -> None:
            # The place is free before anybody has the result: they may ask again at once.
            try:
                result = work()
            except BaseException as exc:  # noqa: BLE001 - it is the caller's
                self._free.release()
                future.set_exception(exc)
            else:
                self._free.release()
                future.set_result(result)

        threading.Thread(target=run, name="abandonable", daemon=True).start()
        return await asyncio.wrap_future(future)

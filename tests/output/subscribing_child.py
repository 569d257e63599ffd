"""Follows the log in a directory to its end, in a process of its own.

Arguments: the directory, the offset, the stream (0 for both), the kind of loop. Prints `ready`
once it waits or reads, then the number of bytes, their SHA-256, and whether the log is complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

import uvloop

from service.output.subscription import Subscription
from service.output.watcher import LogWatcher


async def main(directory: str, offset: int, stream: int | None) -> None:
    digest = hashlib.sha256()
    count = 0
    async with (
        LogWatcher() as watcher,
        Subscription(watcher, directory, offset, stream) as subscription,
    ):
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        async for chunk in subscription.chunks():
            digest.update(chunk)
            count += len(chunk)
    print(count, digest.hexdigest(), subscription.state.complete, flush=True)  # noqa: T201


if __name__ == "__main__":
    factory = uvloop.new_event_loop if sys.argv[4] == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) or None))

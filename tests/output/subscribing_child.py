"""Follows the log in a directory to its end, in a process of its own.

Arguments: the directory, the offset, the stream (0 for both), the kind of loop. Prints `ready`
once it waits or reads, then the number of bytes, their SHA-256, and whether the log is complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

import uvloop
from log_readers import collected, subscribed, watching


async def main(directory: str, offset: int, stream: int | None) -> None:
    with watching() as watcher, subscribed(watcher, directory, offset, stream) as subscription:
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        output = await collected(subscription)
        digest = hashlib.sha256(output).hexdigest()
        print(len(output), digest, subscription.state.complete, flush=True)  # noqa: T201


if __name__ == "__main__":
    factory = uvloop.new_event_loop if sys.argv[4] == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) or None))

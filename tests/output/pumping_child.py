"""Continues a log and pumps two inherited pipes into it until both have ended.

Arguments: the directory, the descriptor of standard output's pipe, that of standard error's.
"""

from __future__ import annotations

import asyncio
import sys

from service.output.index import STDERR, STDOUT
from service.output.pump import Pump
from service.output.writer import LogWriter


async def main(directory: str, stdout_fd: int, stderr_fd: int) -> None:
    log = LogWriter.reopen(directory)
    ended = asyncio.Event()
    pump = Pump(asyncio.get_running_loop(), log, lambda *_: None if pump.pipes else ended.set())
    pump.add(stdout_fd, STDOUT, 0)
    pump.add(stderr_fd, STDERR, 0)
    await ended.wait()
    log.close(complete=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

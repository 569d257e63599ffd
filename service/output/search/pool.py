"""The processes in which a worker has logs searched: few, started when they are needed, ended when
nothing was searched for a while.

A pattern takes the processor for itself as long as it is looked for, and what was found is made in
Python: in a thread of the worker that would hold its event loop up, five milliseconds at a time.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.errors import BadQuery, CorruptLog, Unavailable
from service.output.search.request import Grep, Part, SearchRequest, packed, unpacked

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["RunningSearch", "SearchPool"]

_PROCESSES: Final = 2
"""For each worker. More searches take turns."""

_IDLE_S: Final = 60.0
"""Then a process ends: 15 MB that nobody uses."""

_ROOT: Final = str(Path(__file__).resolve().parents[3])
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv[1]);from service.output.search.child import main; main()"
)


class SearchPool:
    """For one event loop."""

    def __init__(self) -> None:
        self._processes: list[_Process] = []
        self._starting = asyncio.Lock()
        self._is_closed = False

    def search(self, request: SearchRequest) -> RunningSearch:
        """A search, to be entered: `async with`."""
        return RunningSearch(self, request)

    async def check(self, grep: Grep) -> None:
        """Compiles its pattern, which may take half a second. Raises: BadQuery, Unavailable."""
        process = await self.process()
        try:
            await process.check(grep)
        finally:
            process.give_back()

    async def close(self) -> None:
        """Ends all of them, and what they search."""
        self._is_closed = True
        for process in self._processes:
            await process.close()
        self._processes = []

    async def process(self) -> _Process:
        """The one that has the least to do. Raises: Unavailable."""
        async with self._starting:
            if self._is_closed:
                raise Unavailable("This worker is stopping.")
            self._processes = [each for each in self._processes if each.is_usable]
            idle = [each for each in self._processes if not each.searches]
            if not idle and len(self._processes) < _PROCESSES:
                try:
                    self._processes.append(await _Process.start())
                except OSError as error:
                    raise Unavailable(f"Output can't be searched now: {error}.") from error
            found = min(self._processes, key=lambda each: each.searches)
            found.take()
            return found


class RunningSearch:
    """An async context manager; left, the search ends."""

    def __init__(self, pool: SearchPool, request: SearchRequest) -> None:
        self._pool = pool
        self._request = request
        self._process: _Process
        self._number = 0

    async def __aenter__(self) -> Self:
        """Raises: BadQuery, Unavailable, CorruptLog."""
        self._process = await self._pool.process()
        try:
            self._number = await self._process.open(self._request)
        except BaseException:
            self._process.give_back()
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._process.end(self._number)
        self._process.give_back()

    async def next(self) -> Part:
        """What is found next. Raises: CorruptLog; Unavailable, when the process is gone."""
        return Part.unpack((await self._process.ask("next", self._number))["part"])


class _Process:
    """One process, and the searches in it.

    Attributes:
        searches: how many there are.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self._is_gone = False
        self._idle: asyncio.TimerHandle | None = None
        self._receiving = self._loop.create_task(self._receive())
        self.searches = 0

    @classmethod
    async def start(cls) -> Self:
        """Raises: OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: ASYNC220 - 1 ms, once in a while
                    [sys.executable, "-P", "-c", _PROGRAM, _ROOT],
                    stdin=theirs.fileno(),
                    cwd="/",
                    start_new_session=True,  # a signal to the worker's group isn't meant for it
                )
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        return cls(process, reader, writer)

    @property
    def is_usable(self) -> bool:
        """It still takes searches."""
        return not self._is_gone and not self._writer.is_closing()

    def take(self) -> None:
        """Counts one search more."""
        self.searches += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def give_back(self) -> None:
        """Counts one less."""
        self.searches -= 1
        if not self.searches:
            self._idle = self._loop.call_later(_IDLE_S, self._writer.close)

    async def check(self, grep: Grep) -> None:
        """Raises: BadQuery, Unavailable."""
        self._last += 1
        number = self._last
        try:
            await self.ask("check", number, grep=grep.pack())
        except BaseException:
            self.end(number)
            raise

    async def open(self, request: SearchRequest) -> int:
        """The search's number. Raises: BadQuery, CorruptLog, Unavailable."""
        self._last += 1
        number = self._last
        try:
            await self.ask("open", number, request=request.pack())
        except BaseException:
            self.end(number)
            raise
        return number

    async def ask(self, what: str, number: int, **more: object) -> dict[str, Any]:
        """Raises: BadQuery, CorruptLog, Unavailable."""
        if self._is_gone:
            raise self._gone()
        reply: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._replies[number] = reply
        self._writer.write(packed({"do": what, "number": number, **more}))
        try:
            message = await reply
        finally:
            self._replies.pop(number, None)
        if why := message.get("refused"):
            raise BadQuery(why)
        if why := message.get("error"):
            raise CorruptLog(f"the output can't be searched: {why}")
        return message

    def end(self, number: int) -> None:
        """Nothing of that search is wanted any more."""
        if self.is_usable:
            self._writer.write(packed({"do": "close", "number": number}))

    async def close(self) -> None:
        """Ends it."""
        if self._idle is not None:
            self._idle.cancel()
        self._writer.close()
        self._process.kill()
        await self._receiving

    async def _receive(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(4), "little")
                message = unpacked(await self._reader.readexactly(length))
                reply = self._replies.get(message["number"])
                if reply is not None and not reply.done():
                    reply.set_result(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has ended
        self._is_gone = True
        self._writer.close()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(self._gone())
        await self._loop.run_in_executor(None, self._process.wait)

    def _gone(self) -> Unavailable:
        return Unavailable("The process that searched the output has ended.")

"""`AsyncJob`: the same as `Job`, to be awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from service.client import file_flows, flows
from service.client.async_files import AsyncFiles
from service.client.async_rim import (
    AsyncConnections,
    AsyncOutputReading,
    AsyncReading,
    AsyncSearchReading,
    run,
)
from service.client.endpoint import JobOf
from service.client.output import Gaps, Stream, place_of, read_bytes, read_lines, read_records
from service.client.results import Gap, Match, OutputBytes, Receipt, Record
from service.client.searching import Found, Search, parts_of, search_lines
from service.client.selection import Selection
from service.client.sending import send
from service.jobs.views import JobView, LinesView


class AsyncJob(JobOf[AsyncConnections]):
    """A job of a service. `view` is what was last heard of it, None before anything was."""

    @property
    def files(self) -> AsyncFiles:
        """Its files: list, read, write and remove them, as archives too."""
        return AsyncFiles(self)

    async def release(self) -> JobView:
        """Let a job that was submitted with `Hold` run. Raises: JobNotHeld."""
        self.view = await run(self._connections, file_flows.release(self._policy, self.id))
        return self.view

    async def show(self, *, processes: bool = False) -> JobView:
        """The job as it is now."""
        flow = flows.show(self._policy, self.id, processes=processes)
        self.view = await run(self._connections, flow)
        return self.view

    async def wait(self, timeout: float | None = None) -> JobView:
        """The job once it has ended. Raises: TimeoutError."""
        self.view = await run(self._connections, flows.wait(self._policy, self.id, timeout))
        return self.view

    def stream(
        self,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        gaps: Gaps = "cut",
        follow: bool = True,
        **selection: Unpack[Selection],
    ) -> AsyncOutputReading[bytes]:
        """The output as bytes, from `offset` on, until the job has ended.

        Both streams, or one, whose bytes `offset` then counts; a negative one counts from the end.
        Where output was dropped OffsetInGap is raised, or, with `gaps="mark"`, a line stands.
        """
        place = place_of(self.id, offset, stream, selection)
        flow = read_bytes(self._policy, place, gaps=gaps, follow=follow)
        return AsyncOutputReading(self._connections, flow, place)

    def lines(
        self,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        gaps: Gaps = "mark",
        follow: bool = True,
        **selection: Unpack[Selection],
    ) -> AsyncReading[OutputBytes]:
        """The same in lines, without their newlines; `.text` is a line as text."""
        place = place_of(self.id, offset, stream, selection)
        flow = read_lines(self._policy, place, gaps=gaps, follow=follow)
        return AsyncReading(self._connections, flow)

    def records(
        self,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        lines: bool = False,
        follow: bool = True,
        **selection: Unpack[Selection],
    ) -> AsyncOutputReading[Record | Gap]:
        """The output in pieces that say when and from where they came."""
        place = place_of(self.id, offset, stream, selection)
        flow = read_records(self._policy, place, lines=lines, follow=follow)
        return AsyncOutputReading(self._connections, flow, place)

    async def lines_around(
        self,
        *,
        at: int | None = None,
        line: int | None = None,
        before: int = 0,
        after: int = 100,
        stream: Stream | None = None,
        wait: float | None = None,
    ) -> LinesView:
        """Lines around the one that has the byte `at`, or the number `line`; negative ones count
        from the end. `wait`: seconds to wait until lines are numbered; `line` waits anyway.
        """
        flow = flows.lines_around(
            self._policy,
            self.id,
            at=at,
            line=line,
            before=before,
            after=after,
            stream=stream,
            wait=wait,
        )
        return await run(self._connections, flow)

    def grep(
        self,
        pattern: str,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        **search: Unpack[Search],
    ) -> AsyncSearchReading[Match | Gap]:
        """The lines that match `pattern` (RE2), of what there is now; `.count` is how many do."""
        how, selection = parts_of(search)
        place, found = place_of(self.id, offset, stream, selection), Found()
        flow = search_lines(self._policy, place, [("grep", pattern), *how], found)
        return AsyncSearchReading(self._connections, flow, found)

    async def rerun(
        self, patch: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> AsyncJob:
        """Submit the job again as a new one, changed by `patch`, a merge patch (RFC 7396).

        The service still has the values of its environment. With the same `key` the same new job
        is returned.
        """
        flow = flows.rerun(self._policy, self.id, patch, key)
        return AsyncJob(self._client, await run(self._connections, flow))

    async def kill(
        self,
        *,
        signal: str | None = None,
        grace: float | None = None,
        timeout: float | None = None,
    ) -> Receipt | None:
        """Kill the job, wait until it has ended, and return the receipt.

        None: it had ended by itself. `signal` comes first, KILL `grace` seconds later.

        Raises: UnknownJob; TimeoutError.
        """
        flow = flows.kill(self._policy, self.id, signal, grace, timeout)
        return await run(self._connections, flow)

    async def request_kill(self, *, signal: str | None = None, grace: float | None = None) -> str:
        """The same without the wait: the state of the job then."""
        return await run(
            self._connections, flows.request_kill(self._policy, self.id, signal, grace)
        )

    async def signal(self, name: str, *, foreground: bool = False) -> int:
        """Send all processes of the running job a signal, once, or with `foreground` those in the
        foreground of its terminal; how many got it.

        It is no kill: a job that dies of it has `exited`. It isn't sent again when the answer was
        lost, as the job may have got it.

        Raises: JobNotRunning, SignalNotPassedOn, NoTerminal, NoForeground, UnknownJob;
            ServiceUnreachable, OutcomeUnknown.
        """
        flow = flows.signal(self._policy, self.id, name, foreground=foreground)
        return await run(self._connections, flow)

    async def resize(self, rows: int, cols: int) -> None:
        """Give the terminal of the job another size; one of a pending job begins with it.

        Raises: NoTerminal, JobNotRunning, UnknownJob.
        """
        await run(self._connections, flows.resize(self._policy, self.id, rows, cols))

    async def send(
        self,
        data: bytes | str,
        *,
        offset: int | None = None,
        eof: bool = False,
        resume: bool = False,
    ) -> int:
        """Write into the standard input of the job, and with `eof` end it; where it goes on then.

        It takes as long as the job needs to read. After a cut it goes on where the service has come
        to: nothing is written twice. `offset` says where the input must go on; with `resume` the
        same call was made before, and perhaps came to its end: only what is missing is written.

        Raises: NoInput, InputOffset, InputClosed, JobNotRunning, UnknownJob.
        """
        sent = data.encode() if isinstance(data, str) else data
        flow = send(self._policy, self.id, sent, offset, eof=eof, resume=resume)
        return await run(self._connections, flow)

    async def clean(self) -> None:
        """Forget the finished job: record, output, working directory."""
        await run(self._connections, flows.clean(self._policy, self.id))

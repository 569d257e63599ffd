"""`AsyncClient` and `AsyncJob`: the same as `Client` and `Job`, to be awaited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, Unpack

from service.client import flows
from service.client.address import address_of
from service.client.async_rim import (
    AsyncConnections,
    AsyncOutputReading,
    AsyncReading,
    AsyncSearchReading,
    run,
)
from service.client.flows import Seen
from service.client.following import Cursor, follow_many
from service.client.http import Verify
from service.client.output import Gaps, Stream, place_of, read_bytes, read_lines, read_records
from service.client.requests import Command
from service.client.results import Event, Followed, Gap, Match, OutputBytes, Receipt, Record, Result
from service.client.retrying import Policy, Retry, quietly
from service.client.searching import Found, Search, parts_of, search_lines
from service.client.selection import Selection, Selectors, selectors_of
from service.client.steps import mapped
from service.jobs.views import JobView


class AsyncClient:
    """A service. Any number of tasks of one event loop may use one client.

    Args:
        url: `http://host:port`, `https://host/prefix` or `unix:///path/of/socket`; else that of
            JOBRUNNER_URL, else http://127.0.0.1:8080.
        token: else that of JOBRUNNER_TOKEN, or in the file of JOBRUNNER_TOKEN_FILE.
        timeout: seconds in which a request is sent again while the service doesn't answer. What
            follows a job goes on for ever once the service has answered.
        verify: for https: a context, the path of a CA's certificate, or False.
        on_retry: is called before something is tried again.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 10.0,
        verify: Verify = True,
        on_retry: Callable[[Retry], None] = quietly,
    ) -> None:
        address = address_of(url, token)
        self.url = address.url
        self._policy = Policy(url=address.url, timeout_s=timeout, on_retry=on_retry)
        self._connections = AsyncConnections(address, verify)

    async def run(self, command: Command, *, check: bool = False, key: str | None = None) -> Result:
        """Run a job to its end, and return its output and exit code.

        `command` is a line for bash, the words of one, or a job as `submit` takes it.

        Raises: CommandFailed, with `check`, unless it exits with 0.
        """
        return await run(self._connections, flows.run(self._policy, command, key, check=check))

    async def submit(self, job: Mapping[str, Any], *, key: str | None = None) -> AsyncJob:
        """Submit a job, and return when it is stored.

        The keys are those of `POST /`. With the same `key` (Idempotency-Key) the same job is
        returned, whoever died in between.
        """
        return AsyncJob(self, await run(self._connections, flows.submit(self._policy, job, key)))

    def job(self, job_id: str) -> AsyncJob:
        """The job with this ID; nothing is asked yet."""
        return AsyncJob(self, job_id)

    def jobs(
        self,
        *,
        order: str | None = None,
        limit: int | None = None,
        **selectors: Unpack[Selectors],
    ) -> AsyncReading[AsyncJob]:
        """The jobs that are selected, each with its `view`; the live ones when nothing says which.

        They are asked for a page at a time. `state="all"` is all of them, and `limit` how many of
        them come at most.
        """
        found = flows.jobs(self._policy, selectors_of(order=order, **selectors), limit)
        return AsyncReading(
            self._connections, mapped(found, lambda view: [AsyncJob(self, view.id, view)])
        )

    def events(self, *, after: int = 0, follow: bool = False) -> AsyncReading[Event]:
        """The changes of jobs behind number `after`: of each job its latest state."""
        flow = flows.events(self._policy, Seen(after), follow=follow)
        return AsyncReading(self._connections, flow)

    def follow(
        self,
        *,
        after: str | None = None,
        follow: bool = True,
        lines: bool = False,
        **selectors: Unpack[Selectors],
    ) -> AsyncReading[Followed]:
        """The output of all jobs that are selected as `jobs` does, and of those that come.

        Each piece, each gap and each end says which job it is of. `after` is the `cursor` of the
        last one that came before; with `follow=False` it is what there is now.
        """
        query, cursor = selectors_of(**selectors), Cursor(after)
        flow = follow_many(self._policy, query, cursor, lines=lines, follow=follow)
        return AsyncReading(self._connections, flow)

    async def close(self) -> None:
        """End everything that waits, in any task, with ClientClosed."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"


class AsyncJob:
    """A job of a service. `view` is what was last heard of it, None before anything was."""

    def __init__(self, client: AsyncClient, job_id: str, view: JobView | None = None) -> None:
        self.id = job_id
        self.view = view
        self._client = client
        self._policy = client._policy  # noqa: SLF001 - one thing in two classes
        self._connections = client._connections  # noqa: SLF001 - the same

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

    async def signal(self, name: str) -> int:
        """Send all processes of the running job a signal, once; how many got it.

        It is no kill: a job that dies of it has `exited`. It isn't sent again when the answer was
        lost, as the job may have got it.

        Raises: JobNotRunning, SignalNotPassedOn, UnknownJob; ServiceUnreachable, OutcomeUnknown.
        """
        return await run(self._connections, flows.signal(self._policy, self.id, name))

    async def clean(self) -> None:
        """Forget the finished job: record, output, working directory."""
        await run(self._connections, flows.clean(self._policy, self.id))

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"

"""`AsyncClient`: the same as `Client`, to be awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, Unpack

from service.client import flows
from service.client.address import Address
from service.client.async_job import AsyncJob
from service.client.async_rim import (
    AsyncConnections,
    AsyncReading,
    run,
)
from service.client.endpoint import Endpoint
from service.client.flows import Seen
from service.client.following import Cursor, follow_many
from service.client.http import Verify
from service.client.requests import Command
from service.client.results import Event, Followed, Result
from service.client.selection import Selectors, selectors_of
from service.client.steps import mapped

__all__ = ["AsyncClient", "AsyncJob"]


class AsyncClient(Endpoint[AsyncConnections]):
    """A service. Any number of tasks of one event loop may use one client.

    The arguments are those of `Client`.
    """

    def _connect(self, address: Address, verify: Verify) -> AsyncConnections:
        return AsyncConnections(address, verify)

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

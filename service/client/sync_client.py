"""`Client`: the service as a library with blocking calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, Unpack

from service.client import flows
from service.client.address import Address
from service.client.endpoint import Endpoint
from service.client.flows import Seen
from service.client.following import Cursor, follow_many
from service.client.http import Verify
from service.client.requests import Command
from service.client.results import Event, Followed, Result
from service.client.selection import Selectors, selectors_of
from service.client.steps import mapped
from service.client.sync_job import Job
from service.client.sync_rim import Connections, Reading, run

__all__ = ["Client", "Job"]


class Client(Endpoint[Connections]):
    r"""A service. Any number of threads may use one client.

    Args:
        url: `http://host:port`, `https://host/prefix` or `unix:///path/of/socket`; else that of
            JOBRUNNER_URL, else http://127.0.0.1:8080.
        token: else that of JOBRUNNER_TOKEN, or in the file of JOBRUNNER_TOKEN_FILE; "" for none.
        timeout: seconds in which a request is sent again while the service doesn't answer. What
            follows a job goes on for ever once the service has answered.
        verify: for https: a context, the path of a CA's certificate, or False.
        on_retry: is called before something is tried again.

    >>> client = Client()
    >>> client.run("echo hello").stdout.text
    'hello\n'
    """

    def _connect(self, address: Address, verify: Verify) -> Connections:
        return Connections(address, verify)

    def run(self, command: Command, *, check: bool = False, key: str | None = None) -> Result:
        """Run a job to its end, and return its output and exit code.

        `command` is a line for bash, the words of one, or a job as `submit` takes it.

        >>> client.run(["sh", "-c", "echo oops >&2; exit 3"]).exit_code
        3

        Raises: CommandFailed, with `check`, unless it exits with 0.
        """
        return run(self._connections, flows.run(self._policy, command, key, check=check))

    def submit(self, job: Mapping[str, Any], *, key: str | None = None) -> Job:
        """Submit a job, and return when it is stored.

        The keys are those of `POST /`. With the same `key` (Idempotency-Key) the same job is
        returned, whoever died in between.

        >>> job = client.submit({"CommandLine": "echo hello", "Name": "greeting"})
        >>> job.wait().exit_code
        0
        """
        return Job(self, run(self._connections, flows.submit(self._policy, job, key)))

    def job(self, job_id: str) -> Job:
        """The job with this ID; nothing is asked yet."""
        return Job(self, job_id)

    def jobs(
        self,
        *,
        order: str | None = None,
        limit: int | None = None,
        **selectors: Unpack[Selectors],
    ) -> Reading[Job]:
        """The jobs that are selected, each with its `view`; the live ones when nothing says which.

        They are asked for a page at a time. `state="all"` is all of them, and `limit` how many of
        them come at most.

        >>> listed = client.run({"CommandLine": "true", "Name": "listed"}).job
        >>> [job.view.name for job in client.jobs(state="all", name="listed")]
        ['listed']
        """
        found = flows.jobs(self._policy, selectors_of(order=order, **selectors), limit)
        return Reading(self._connections, mapped(found, lambda view: [Job(self, view.id, view)]))

    def events(self, *, after: int = 0, follow: bool = False) -> Reading[Event]:
        """The changes of jobs behind number `after`: of each job its latest state.

        >>> finished = client.run("true").job
        >>> events = list(client.events())
        >>> events[-1].view.state
        'exited'
        >>> list(client.events(after=events[-1].seq))
        []
        """
        flow = flows.events(self._policy, Seen(after), follow=follow)
        return Reading(self._connections, flow)

    def follow(
        self,
        *,
        after: str | None = None,
        follow: bool = True,
        lines: bool = False,
        **selectors: Unpack[Selectors],
    ) -> Reading[Followed]:
        r"""The output of all jobs that are selected as `jobs` does, and of those that come.

        Each piece, each gap and each end says which job it is of. `after` is the `cursor` of the
        last one that came before; with `follow=False` it is what there is now.

        >>> hello = {"CommandLine": "echo hello", "Labels": {"team": "web"}}
        >>> finished = client.run(hello).job
        >>> told = client.follow(state="all", label={"team": "web"}, follow=False)
        >>> [each.record.text for each in told if isinstance(each.record, Record)]
        ['hello\n']
        """
        query, cursor = selectors_of(**selectors), Cursor(after)
        flow = follow_many(self._policy, query, cursor, lines=lines, follow=follow)
        return Reading(self._connections, flow)

    def close(self) -> None:
        """End everything that waits, in any thread, with ClientClosed."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""`Client` and `Job`: the service as a library with blocking calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, Unpack

from service.client import flows
from service.client.address import address_of
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
from service.client.sync_rim import Connections, OutputReading, Reading, SearchReading, run
from service.jobs.views import JobView


class Client:
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
        self._connections = Connections(address, verify)

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

    def __repr__(self) -> str:
        return f"Client({self.url!r})"


class Job:
    """A job of a service. `view` is what was last heard of it, None before anything was."""

    def __init__(self, client: Client, job_id: str, view: JobView | None = None) -> None:
        self.id = job_id
        self.view = view
        self._client = client
        self._policy = client._policy  # noqa: SLF001 - one thing in two classes
        self._connections = client._connections  # noqa: SLF001 - the same

    def show(self, *, processes: bool = False) -> JobView:
        """The job as it is now.

        >>> job.show().state
        'exited'
        """
        flow = flows.show(self._policy, self.id, processes=processes)
        self.view = run(self._connections, flow)
        return self.view

    def wait(self, timeout: float | None = None) -> JobView:
        """The job once it has ended. Raises: TimeoutError."""
        self.view = run(self._connections, flows.wait(self._policy, self.id, timeout))
        return self.view

    def stream(
        self,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        gaps: Gaps = "cut",
        follow: bool = True,
        **selection: Unpack[Selection],
    ) -> OutputReading[bytes]:
        r"""The output as bytes, from `offset` on, until the job has ended.

        Both streams, or one, whose bytes `offset` then counts; a negative one counts from the end.
        Where output was dropped OffsetInGap is raised, or, with `gaps="mark"`, a line stands.

        >>> b"".join(job.stream())
        b'hello\n'
        """
        place = place_of(self.id, offset, stream, selection)
        flow = read_bytes(self._policy, place, gaps=gaps, follow=follow)
        return OutputReading(self._connections, flow, place)

    def lines(
        self,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        gaps: Gaps = "mark",
        follow: bool = True,
        **selection: Unpack[Selection],
    ) -> Reading[OutputBytes]:
        """The same in lines, without their newlines; `.text` is a line as text.

        >>> [line.text for line in job.lines()]
        ['hello']
        """
        place = place_of(self.id, offset, stream, selection)
        flow = read_lines(self._policy, place, gaps=gaps, follow=follow)
        return Reading(self._connections, flow)

    def records(
        self,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        lines: bool = False,
        follow: bool = True,
        **selection: Unpack[Selection],
    ) -> OutputReading[Record | Gap]:
        """The output in pieces that say when and from where they came.

        >>> [(record.stream, record.text) for record in job.records(lines=True)]
        [('stdout', 'hello')]
        """
        place = place_of(self.id, offset, stream, selection)
        flow = read_records(self._policy, place, lines=lines, follow=follow)
        return OutputReading(self._connections, flow, place)

    def grep(
        self,
        pattern: str,
        *,
        offset: int = 0,
        stream: Stream | None = None,
        **search: Unpack[Search],
    ) -> SearchReading[Match | Gap]:
        """The lines that match `pattern` (RE2), of what there is now; `.count` is how many do.

        `invert`, `ignore_case`, `context` (lines around each) and `max` say how, a selection where.

        >>> [(match.line, match.text) for match in job.grep("^hell")]
        [(1, 'hello')]
        """
        how, selection = parts_of(search)
        place, found = place_of(self.id, offset, stream, selection), Found()
        flow = search_lines(self._policy, place, [("grep", pattern), *how], found)
        return SearchReading(self._connections, flow, found)

    def rerun(self, patch: Mapping[str, Any] | None = None, *, key: str | None = None) -> Job:
        """Submit the job again as a new one, changed by `patch`, a merge patch (RFC 7396).

        The service still has the values of its environment. With the same `key` the same new job
        is returned.

        >>> again = job.rerun({"Name": "again", "Labels": {"team": "web"}})
        >>> again.wait().name
        'again'
        """
        flow = flows.rerun(self._policy, self.id, patch, key)
        return Job(self._client, run(self._connections, flow))

    def kill(
        self,
        *,
        signal: str | None = None,
        grace: float | None = None,
        timeout: float | None = None,
    ) -> Receipt | None:
        """Kill the job, wait until it has ended, and return the receipt.

        None: it had ended by itself. `signal` comes first, KILL `grace` seconds later.

        >>> client.submit({"CommandLine": "sleep 1000"}).kill().verified_gone
        True

        Raises: UnknownJob; TimeoutError.
        """
        flow = flows.kill(self._policy, self.id, signal, grace, timeout)
        return run(self._connections, flow)

    def request_kill(self, *, signal: str | None = None, grace: float | None = None) -> str:
        """The same without the wait: the state of the job then."""
        return run(self._connections, flows.request_kill(self._policy, self.id, signal, grace))

    def signal(self, name: str) -> int:
        """Send all processes of the running job a signal, once; how many got it.

        It is no kill: a job that dies of it has `exited`. It isn't sent again when the answer was
        lost, as the job may have got it.

        >>> sleeper = client.submit({"CommandLine": "echo up; exec sleep 1000"})
        >>> with sleeper.lines() as output:
        ...     up = next(output)
        >>> sleeper.signal("HUP")
        1
        >>> sleeper.wait().signal
        'SIGHUP'

        Raises: JobNotRunning, SignalNotPassedOn, UnknownJob; ServiceUnreachable, OutcomeUnknown.
        """
        return run(self._connections, flows.signal(self._policy, self.id, name))

    def clean(self) -> None:
        """Forget the finished job: record, output, working directory.

        >>> finished = client.run("true").job
        >>> client.job(finished.id).clean()
        >>> client.job(finished.id).show()
        Traceback (most recent call last):
            ...
        service.errors.jobs.UnknownJob: There is no job with the ID ...
        """
        run(self._connections, flows.clean(self._policy, self.id))

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

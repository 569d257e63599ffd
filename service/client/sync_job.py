"""`Job`: a job of a service, with blocking calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from service.client import file_flows, flows
from service.client.endpoint import JobOf
from service.client.output import Gaps, Stream, place_of, read_bytes, read_lines, read_records
from service.client.results import Gap, Match, OutputBytes, Receipt, Record
from service.client.searching import Found, Search, parts_of, search_lines
from service.client.selection import Selection
from service.client.sending import send
from service.client.sync_files import Files
from service.client.sync_rim import Connections, OutputReading, Reading, SearchReading, run
from service.jobs.views import JobView, LinesView


class Job(JobOf[Connections]):
    """A job of a service. `view` is what was last heard of it, None before anything was."""

    @property
    def files(self) -> Files:
        """Its files: list, read, write and remove them, as archives too."""
        return Files(self)

    def release(self) -> JobView:
        """Let a job that was submitted with `Hold` run. Raises: JobNotHeld."""
        self.view = run(self._connections, file_flows.release(self._policy, self.id))
        return self.view

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

    def lines_around(
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

        >>> [(each.line, each.text) for each in job.lines_around(line=1).lines]
        [(1, 'hello')]
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
        return run(self._connections, flow)

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

    def signal(self, name: str, *, foreground: bool = False) -> int:
        """Send all processes of the running job a signal, once, or with `foreground` those in the
        foreground of its terminal; how many got it.

        It is no kill: a job that dies of it has `exited`. It isn't sent again when the answer was
        lost, as the job may have got it.

        >>> sleeper = client.submit({"CommandLine": "echo up; exec sleep 1000"})
        >>> with sleeper.lines() as output:
        ...     up = next(output)
        >>> sleeper.signal("HUP")
        1
        >>> sleeper.wait().signal
        'SIGHUP'

        Raises: JobNotRunning, SignalNotPassedOn, NoTerminal, NoForeground, UnknownJob;
            ServiceUnreachable, OutcomeUnknown.
        """
        flow = flows.signal(self._policy, self.id, name, foreground=foreground)
        return run(self._connections, flow)

    def resize(self, rows: int, cols: int) -> None:
        r"""Give the terminal of the job another size; one of a pending job begins with it.

        >>> editor = client.submit({"CommandLine": "read; stty size", "TTY": {"Cols": 100}})
        >>> editor.resize(40, 120)
        >>> editor.send("\n")
        1
        >>> [line.text for line in editor.lines()][-1].rstrip()
        '40 120'

        Raises: NoTerminal, JobNotRunning, UnknownJob.
        """
        run(self._connections, flows.resize(self._policy, self.id, rows, cols))

    def send(
        self,
        data: bytes | str,
        *,
        offset: int | None = None,
        eof: bool = False,
        resume: bool = False,
    ) -> int:
        r"""Write into the standard input of the job, and with `eof` end it; where it goes on then.

        It takes as long as the job needs to read. After a cut it goes on where the service has come
        to: nothing is written twice. `offset` says where the input must go on; with `resume` the
        same call was made before, and perhaps came to its end: only what is missing is written.

        >>> reader = client.submit({"CommandLine": "cat", "Stdin": True})
        >>> reader.send("hello\n")
        6
        >>> reader.send(b"world\n", eof=True)
        12
        >>> [line.text for line in reader.lines()]
        ['hello', 'world']

        Raises: NoInput, InputOffset, InputClosed, JobNotRunning, UnknownJob.
        """
        sent = data.encode() if isinstance(data, str) else data
        flow = send(self._policy, self.id, sent, offset, eof=eof, resume=resume)
        return run(self._connections, flow)

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

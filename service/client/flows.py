"""What a client does with jobs, as flows: each method of the clients is one of these."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.client import requests
from service.client.calls import attempt, call, decoded, opened
from service.client.failures import CommandFailed
from service.client.output import Place, Stream, read_bytes
from service.client.requests import Command, job_of
from service.client.results import Event, OutputBytes, Receipt, Result
from service.client.retrying import Attempts, Deadline, Policy
from service.client.steps import READ, SILENCE_S, Emit, Failure, Flow, Nothing, Query, taking
from service.client.wire import LineSplitter, WireChange, event_record
from service.errors import UnknownJob
from service.jobs.views import Accepted, JobView, Killed, LinesView, Listing, Signalled

# Seconds for which the service waits until a line has its number.
_NUMBERED_S: Final = 60


def submit(policy: Policy, job: Mapping[str, Any], key: str | None) -> Nothing[str]:
    """The ID of the job that is submitted."""
    answer = yield from call(policy, requests.submit_request(job, key))
    return decoded(answer, Accepted).id


def rerun(
    policy: Policy, job_id: str, patch: Mapping[str, Any] | None, key: str | None
) -> Nothing[str]:
    """The ID of the new job. Raises: UnknownJob, InvalidJob, SubmissionLost."""
    answer = yield from call(policy, requests.rerun_request(job_id, patch, key))
    return decoded(answer, Accepted).id


def show(policy: Policy, job_id: str, *, processes: bool = False) -> Nothing[JobView]:
    """The job as it is now."""
    answer = yield from call(policy, requests.show_request(job_id, processes=processes))
    return decoded(answer, JobView)


def lines_around(
    policy: Policy,
    job_id: str,
    *,
    at: int | None,
    line: int | None,
    before: int,
    after: int,
    stream: str | None,
    wait: float | None,
) -> Nothing[LinesView]:
    """Lines around a place."""
    given = {"at": at, "from": line, "stream": stream, "wait": wait}
    query = [(name, f"{value}") for name, value in given.items() if value is not None]
    query += [("before", f"{before}"), ("after", f"{after}")]
    # A number may wait for the index.
    silence_s = SILENCE_S + (_NUMBERED_S if wait is None else wait)
    answer = yield from call(policy, requests.lines_request(job_id, query, silence_s))
    return decoded(answer, LinesView)


def wait(policy: Policy, job_id: str, timeout_s: float | None) -> Nothing[JobView]:
    """The finished job. Raises: TimeoutError."""
    deadline = _deadline(policy, job_id, timeout_s)
    view = yield from _finished(policy, job_id, deadline)
    return view


def _finished(policy: Policy, job_id: str, deadline: Deadline | None) -> Nothing[JobView]:
    attempts = Attempts(policy, is_patient=True, deadline=deadline)
    while True:
        poll_s, silence_s = requests.POLL_S, requests.POLL_S + SILENCE_S
        if deadline is not None:
            poll_s = min(poll_s, deadline.left_s(policy.clock))
            silence_s = deadline.silence_s(policy.clock, silence_s)
        request = requests.wait_request(job_id, poll_s, silence_s)
        answer = yield from attempt(request, attempts)
        if answer is None:
            continue
        attempts.progressed()
        view = decoded(answer, JobView)
        if view.state in ("exited", "killed"):
            return view
        if deadline is not None and policy.clock() >= deadline.at:
            raise TimeoutError(f"{deadline.over}: it is {view.state}.")


def _deadline(policy: Policy, job_id: str, timeout_s: float | None) -> Deadline | None:
    if timeout_s is None:
        return None
    over = f"The job {job_id} isn't known to have ended after {timeout_s:g} s"
    return Deadline(policy.clock() + timeout_s, over)


def request_kill(
    policy: Policy,
    job_id: str,
    signal: str | None,
    grace_s: float | None,
    deadline: Deadline | None = None,
) -> Nothing[str]:
    """The state of the job then. Raises: UnknownJob; TimeoutError."""
    silence_s = SILENCE_S if deadline is None else deadline.silence_s(policy.clock, SILENCE_S)
    request = requests.kill_request(job_id, signal, grace_s, silence_s)
    answer = yield from call(policy, request, deadline=deadline)
    state = decoded(answer, Killed).state
    if state is None:
        raise UnknownJob(job_id)
    return state


def kill(
    policy: Policy,
    job_id: str,
    signal: str | None,
    grace_s: float | None,
    timeout_s: float | None,
) -> Nothing[Receipt | None]:
    """The receipt, once the job has ended; None, when it had ended by itself."""
    deadline = _deadline(policy, job_id, timeout_s)
    yield from request_kill(policy, job_id, signal, grace_s, deadline)
    view = yield from _finished(policy, job_id, deadline)
    return view.kill


def signal(policy: Policy, job_id: str, name: str, *, foreground: bool) -> Nothing[int]:
    """How many processes got the signal. Raises: JobNotRunning, SignalNotPassedOn, NoTerminal,
    NoForeground, UnknownJob, OutcomeUnknown.
    """
    request = requests.signal_request(job_id, name, foreground=foreground)
    answer = yield from call(policy, request)
    return decoded(answer, Signalled).processes


def resize(policy: Policy, job_id: str, rows: int, cols: int) -> Nothing[None]:
    """Change the size of a terminal. Raises: NoTerminal, JobNotRunning, UnknownJob."""
    yield from call(policy, requests.resize_request(job_id, rows, cols))


def clean(policy: Policy, job_id: str) -> Nothing[None]:
    """Forget a finished job. Raises: JobIsLive, FilesLeft, UnknownJob."""
    yield from call(policy, requests.clean_request(job_id))


def run(policy: Policy, command: Command, key: str | None, *, check: bool) -> Nothing[Result]:
    """A job from its submission to its end. Raises: CommandFailed."""
    job_id = yield from submit(policy, job_of(command), key)
    view = yield from wait(policy, job_id, None)
    stdout, stderr = b"", b""
    if view.output.bytes:
        stdout = yield from _whole(policy, job_id, "stdout")
        stderr = yield from _whole(policy, job_id, "stderr")
    result = Result(
        exit_code=view.exit_code, stdout=OutputBytes(stdout), stderr=OutputBytes(stderr), job=view
    )
    if check and not result.ok:
        raise CommandFailed(result)
    return result


def _whole(policy: Policy, job_id: str, stream: Stream) -> Nothing[bytes]:
    parts: list[bytes] = []
    place = Place(job_id=job_id, stream=stream)
    yield from taking(read_bytes(policy, place, gaps="mark", follow=True), parts.append)
    return b"".join(parts)


def jobs(policy: Policy, selectors: Query, limit: int | None) -> Flow[JobView, None]:
    """The jobs that are selected, at most `limit`, a page at a time."""
    after: str | None = None
    left = sys.maxsize if limit is None else limit
    while left > 0:
        size = min(left, requests.PAGE)
        answer = yield from call(policy, requests.page_request(selectors, after, size))
        page = decoded(answer, Listing)
        for view in page.jobs or ():
            yield Emit(view)
        left -= size
        if not page.next:
            return
        after = page.next


def events(policy: Policy, seen: Seen, *, follow: bool) -> Flow[Event, None]:
    """The changes behind `seen`; without `follow` as far as there are any now.

    A response that ends cleanly is believed once there is nothing behind it.
    """
    attempts = Attempts(policy, is_patient=True)
    while True:
        request = requests.events_request(seen.seq, follow=follow)
        yield from opened(request, attempts)
        before, splitter = seen.seq, LineSplitter()
        lost: Failure | None = Failure("the response ended before its end") if follow else None
        while got := (yield READ):
            if isinstance(got, Failure):
                lost = got
                break
            for event in _events_in(splitter.feed(got)):
                attempts.progressed()
                seen.seq = event.seq
                yield Emit(event)
        if lost is not None or any(splitter.rest()):
            yield from attempts.pause(lost or Failure("a record was cut"), request)
        elif seen.seq == before:
            return


def _events_in(lines: Sequence[bytes]) -> Iterator[Event]:
    for line in lines:
        record, view = event_record(line)
        if isinstance(record, WireChange):
            yield Event(seq=record.seq, job_id=record.id, view=view)


class Seen:
    """The last change that a reader of changes has; `offset` of a reader of output."""

    def __init__(self, seq: int) -> None:
        self.seq = seq

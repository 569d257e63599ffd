"""The output of many jobs as a flow, which resumes all of them at the byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from service.client.calls import opened
from service.client.failures import UnexpectedAnswer
from service.client.requests import many_request
from service.client.results import End, Followed, Gap, Record
from service.client.retrying import Attempts, Policy
from service.client.steps import READ, Emit, Failure, Flow, Query
from service.client.wire import LineSplitter, OfMany, WireGap, WireOutput, many_record


class Cursor(msgspec.Struct):
    """Where a reader of many jobs is; None: before the first record."""

    value: str | None = None


def follow_many(
    policy: Policy, selectors: Query, cursor: Cursor, *, lines: bool, follow: bool
) -> Flow[Followed, None]:
    """What comes of the jobs that are selected, for ever; without `follow` what there is now, whose
    last record is a heartbeat.

    Raises: JobrunnerError; ServiceUnreachable; UnexpectedAnswer.
    """
    attempts = Attempts(policy, is_patient=True)
    while True:
        request = many_request(selectors, cursor.value, lines=lines, follow=follow)
        yield from opened(request, attempts)
        splitter, is_whole = LineSplitter(), False
        lost = Failure("the response ended before its end")
        while got := (yield READ):
            if isinstance(got, Failure):
                lost = got
                break
            for item in _items(splitter.feed(got), cursor):
                attempts.progressed()
                is_whole = item is None
                if item is not None:
                    yield Emit(item)
        if is_whole and not follow:
            return
        yield from attempts.pause(lost, request)


def _items(lines: Sequence[bytes], cursor: Cursor) -> Iterator[Followed | None]:
    """What each line tells; None: that nothing is behind the one before."""
    for line in lines:
        record, of_job = many_record(line)
        cursor.value = of_job.cursor
        if (shown := _shown(record)) is None:
            yield None
        elif of_job.job is None:
            raise UnexpectedAnswer(f"Expected a record of a job, got {record!r}.")
        else:
            yield Followed(job_id=of_job.job, record=shown, cursor=of_job.cursor)


def _shown(record: OfMany) -> Record | Gap | End | None:
    match record:
        case WireOutput():
            return record.record()
        case WireGap():
            return Gap(record.start, record.end)
        case End():
            return record
        case _:
            return None

"""A search of a job's output as a flow.

After a cut the whole search is asked for again, from the place where the first one began: what is
searched never changes, so it finds the same lines, and those that came are left out. Nothing else
keeps the numbers of lines, what stands around a match, and how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, cast

import msgspec

from service.client.calls import opened
from service.client.output import Place
from service.client.requests import search_request
from service.client.results import Gap, Match
from service.client.retrying import Attempts, Policy
from service.client.selection import Selection
from service.client.steps import READ, Emit, Failure, Flow, Query
from service.client.wire import LineSplitter, WireGap, WireMatches, search_record


class Search(Selection, total=False):
    r"""How lines are matched, and in which part of the output; None is as if it weren't given.

    Attributes:
        invert: those that don't match instead.
        ignore_case: whether upper and lower case are the same.
        context: so many lines around each that matches.
        max: so many matching lines; all are counted.
        ansi: `strip`: without escape sequences.
        cr: `collapse`: of text that was overwritten by `\r` what was left.
    """

    invert: bool | None
    ignore_case: bool | None
    context: int | None
    max: int | None
    ansi: Literal["strip"] | None
    cr: Literal["collapse"] | None


class Found(msgspec.Struct):
    """What a search has found. `count`: of all lines that match, None before its end."""

    count: int | None = None
    last: int = -1  # where the last line begins that was emitted


class Counting:
    """Of a reader of what is searched for."""

    _at: Found

    @property
    def count(self) -> int | None:
        """How many lines match; None before the end."""
        return self._at.count


_HOW: Final = ("invert", "ignore_case", "context", "max", "ansi", "cr")


def parts_of(search: Search) -> tuple[Query, Selection]:
    """What says how to match, and in which part. Other names are for `part_of` to refuse.

    >>> parts_of({"ignore_case": True, "max": 3, "invert": False, "tail": 9})
    ([('ignore_case', 'true'), ('max', '3')], {'tail': 9})
    """
    how = [(name, value) for name, value in search.items() if name in _HOW]
    where = {name: value for name, value in search.items() if name not in _HOW}
    return [
        (name, "true" if value is True else f"{value}")
        for name, value in how
        if value is not None and value is not False
    ], cast("Selection", where)


def search_lines(
    policy: Policy, place: Place, query: Query, found: Found
) -> Flow[Match | Gap, None]:
    """The lines that match, of what there is now.

    Raises: BadQuery, for what is no pattern; JobrunnerError; ServiceUnreachable.
    """
    attempts = Attempts(policy, is_patient=True)
    while found.count is None:
        request = search_request(place.job_id, place.query(), query)
        head = yield from opened(request, attempts)
        place.begin(head.headers)
        splitter = LineSplitter()
        lost = Failure("the response ended before its end")
        while got := (yield READ):
            if isinstance(got, Failure):
                lost = got
                break
            for item in _found_in(splitter.feed(got), found):
                attempts.progressed()
                yield Emit(item)
        if found.count is None:
            yield from attempts.pause(lost, request)


def _found_in(lines: Sequence[bytes], found: Found) -> list[Match | Gap]:
    items: list[Match | Gap] = []
    for line in lines:
        record = search_record(line)
        if isinstance(record, WireMatches):
            found.count = record.count
            continue
        begin = record.start if isinstance(record, WireGap) else record.offset
        if begin > found.last:
            found.last = begin
            items.append(
                Gap(record.start, record.end) if isinstance(record, WireGap) else record.match()
            )
    return items

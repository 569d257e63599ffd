"""What of a selection is still to come, and how it is asked for."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from scripted_service import Clock, Reply, drive, policy

from service.api.moments import MOMENT
from service.client.following import Cursor, follow_many
from service.client.output import place_of
from service.client.results import End, Gap, Match, Record
from service.client.searching import Found, search_lines
from service.client.selection import Selection, moment, part_of, selectors_of
from service.client.steps import Failure, Request

pytestmark = pytest.mark.once


def test_where_it_begins_is_asked_for_until_an_offset_says_it():
    place = place_of("j", stream="stderr", selection={"tail": 3, "since": "1h", "command": 0})
    assert dict(place.query()) == {"tail": "3", "since": "1h", "command": "0", "stream": "stderr"}
    place.begin({"Jobrunner-Offset": "70"})
    assert dict(place.query()) == {"offset": "70", "command": "0", "stream": "stderr"}


def test_a_selector_that_is_none_is_an_error_and_not_everything():
    with pytest.raises(TypeError, match="got 'labels'"):
        selectors_of(labels={"a": "b"})


def test_what_is_not_given_selects_nothing():
    selection: Selection = dict.fromkeys(Selection.__annotations__)
    assert part_of(selection).is_everything
    assert part_of(selection, offset=5).query(5) == [("offset", "5")]


def test_two_places_to_begin_contradict_each_other():
    with pytest.raises(ValueError, match="offset and tail"):
        part_of({"tail": 1}, offset=7)
    with pytest.raises(TypeError, match="got 'tale'"):
        part_of({"tale": 1})


@pytest.mark.parametrize(
    "given",
    [
        "10m",
        "2026-01-31T12:00:00Z",
        1769860800,
        1769860800.25,
        datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
        datetime(2026, 1, 31, 12, 0, 0, 250000, tzinfo=UTC),
    ],
)
def test_times_are_those_that_the_service_reads(given):
    read = MOMENT.parse(moment(given))
    if isinstance(given, datetime):
        assert read.ns == round(given.timestamp() * 1000) * 1_000_000
    elif isinstance(given, int | float):
        assert read.ns == round(given * 1000) * 1_000_000


def test_a_duration_back_ends_at_the_same_time_after_a_cut():
    before = time.time()
    (found,) = [value for name, value in part_of({"until": "10m"}).query(0) if name == "until"]
    assert before - 600 - 1e-6 <= float(found) <= time.time() - 600
    assert part_of({"since": "10m"}).since == "10m"


# ------------------------------------------------------------------------------------------- search


def replies(*each: Reply) -> Any:
    """One for each request, which are kept in `.requests`."""
    left = iter(each)

    def respond(request: Request) -> Reply:
        respond.requests.append(request)
        return next(left)

    respond.requests = []
    return respond


def of(kind: str, **members: Any) -> bytes:
    return json.dumps({"Type": kind, **members}).encode() + b"\n"


def line(number: int, offset: int, text: str, **members: Any) -> bytes:
    whence = {"Stream": "stdout", "Command": 0, "Time": "2026-01-01T00:00:00Z"}
    return of("line", Line=number, Offset=offset, Text=text, **whence, **members)


def test_a_search_that_was_cut_begins_where_the_first_one_did_and_repeats_nothing():
    found, begun = Found(), {"Jobrunner-Offset": "50"}
    lines = [line(1, 50, "a"), line(2, 52, "b", Context=True), of("gap", From=54, To=60)]
    rest = [line(3, 60, "c", Partial=True), of("matches", Count=2)]
    respond = replies(
        Failure("nobody there", was_sent=False),
        (200, begun, [b"".join(lines[:2])]),
        (200, begun, [b"".join(lines), rest[0][:30], Failure("cut")]),
        (200, begun, [b"".join(lines + rest)]),
    )
    place = place_of("j", selection={"tail": 9})
    flow = search_lines(policy(Clock(), 1e9), place, [("grep", "x")], found)
    items = drive(flow, respond, Clock())
    assert [item.text if isinstance(item, Match) else item for item in items] == [
        "a",
        "b",
        Gap(54, 60),
        "c",
    ]
    assert (items[1].is_context, items[3].is_partial, found.count) == (True, True, 2)
    queries = [dict(request.query) for request in respond.requests]
    assert queries[:2] == [{"tail": "9", "grep": "x"}] * 2
    assert queries[2:] == [{"offset": "50", "grep": "x"}] * 2


# ---------------------------------------------------------------------------------------- many jobs


def piece(job: str, cursor: str, text: str, offset: int = 0) -> bytes:
    where = {"Offset": offset, "End": offset + len(text), "Stream": "stdout", "Command": 0}
    time_of = {"Time": "2026-01-01T00:00:00Z"}
    return of("output", Job=job, Cursor=cursor, Text=text, **where, **time_of)


def heartbeat(cursor: str) -> bytes:
    return of("heartbeat", Cursor=cursor, Time="2026-01-01T00:00:00Z")


def followed(respond: Any, *, follow: bool) -> list[Any]:
    clock = Clock()
    flow = follow_many(policy(clock, 1e9), [("label", "a=b")], Cursor(), lines=False, follow=follow)
    return drive(flow, respond, clock)


def test_many_jobs_go_on_behind_the_last_cursor_and_end_with_a_heartbeat():
    respond = replies(
        (200, {}, [piece("one", "c1", "a"), piece("two", "c2", "b"), heartbeat("c3")[:20]]),
        (200, {}, [of("gap", Job="one", Cursor="c4", From=1, To=5), Failure("cut")]),
        (200, {}, []),
        (200, {}, [of("end", Job="two", Cursor="c5", State="exited", ExitCode=3, Bytes=1)]),
        (200, {}, [of("end", Job="one", Cursor="c6", Cleaned=True), heartbeat("c7")]),
    )
    told = followed(respond, follow=False)
    assert [(each.job_id, each.cursor) for each in told] == [
        ("one", "c1"),
        ("two", "c2"),
        ("one", "c4"),
        ("two", "c5"),
        ("one", "c6"),
    ]
    first, _, gap, end, cleaned = (each.record for each in told)
    assert isinstance(first, Record)
    assert gap == Gap(1, 5)
    assert isinstance(end, End)
    assert (end.state, end.exit_code, end.bytes) == ("exited", 3, 1)
    assert (cleaned.cleaned, cleaned.state) == (True, None)
    assert [dict(request.query).get("after") for request in respond.requests] == [
        None,
        "c2",
        "c4",
        "c4",
        "c5",
    ]

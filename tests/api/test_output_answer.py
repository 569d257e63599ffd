"""Which answer a request for stored output gets: status, bytes and head."""

import pytest

from service.api.output_answer import Selection, Stored, Whole, etag_of
from service.api.ranges import parse_range
from service.errors import OffsetBeyondEnd
from service.output.index import STDERR, STDOUT

ETAG = etag_of("0b8f", None)
LIVE = Stored(10, (0, 0), is_finished=False)
FINISHED = Stored(10, (0, 0), is_finished=True)


def asked(text=None, **conditions):
    return Whole(etag=ETAG, wanted=parse_range(text) if text else None, **conditions)


def shown(answer):
    return answer.status, answer.begin, answer.end, answer.headers.get("Content-Range")


# --------------------------------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (200, 0, 10, None)),
        ("bytes=0-", (206, 0, 10, "bytes 0-9/10")),
        ("bytes=3-5", (206, 3, 6, "bytes 3-5/10")),
        ("bytes=-2", (206, 8, 10, "bytes 8-9/10")),
        ("bytes=10-", (416, 0, 0, "bytes */10")),
        ("bytes=11-", (416, 0, 0, "bytes */10")),
        ("bytes=-0", (416, 0, 0, "bytes */10")),
    ],
)
def test_a_finished_log_tells_its_size(text, expected):
    assert shown(asked(text).answer(FINISHED)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (200, 0, 10, None)),
        ("bytes=0-", (206, 0, 10, "bytes 0-9/*")),
        ("bytes=3-5", (206, 3, 6, "bytes 3-5/*")),
        ("bytes=10-", (416, 0, 0, "bytes */10")),
    ],
)
def test_a_live_log_has_no_size_yet(text, expected):
    assert shown(asked(text).answer(LIVE)) == expected


def test_a_range_in_a_gap_begins_behind_it():
    gapped = Stored(10, (4, 6), is_finished=True)
    assert shown(asked("bytes=5-").answer(gapped)) == (206, 6, 10, "bytes 6-9/10")
    assert shown(asked("bytes=1-").answer(gapped)) == (206, 1, 4, "bytes 1-3/10")


def test_a_range_of_which_all_was_dropped_is_not_taken_for_complete():
    gapped = Stored(10, (4, 10), is_finished=True)
    assert shown(asked("bytes=5-").answer(gapped)) == (200, 0, 10, None)


# ----------------------------------------------------------------------------------- conditions


def test_the_name_of_a_log_is_the_same_while_it_grows_and_afterwards():
    etags = {asked().answer(stored).headers["ETag"] for stored in (LIVE, FINISHED)}
    assert etags == {ETAG}
    assert not ETAG.startswith("W/")
    assert len({ETAG, etag_of("0b8f", STDOUT), etag_of("0b8f", STDERR), etag_of("1", None)}) == 4


@pytest.mark.parametrize(
    ("if_range", "status"),
    [(ETAG, 206), ('"other"', 200), (f"W/{ETAG}", 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 200)],
)
def test_a_range_of_another_log_is_not_sent(if_range, status):
    assert asked("bytes=3-", if_range=if_range).answer(FINISHED).status == status


@pytest.mark.parametrize(
    ("known", "status"),
    [(ETAG, 304), (f"W/{ETAG}", 304), (f'"a", {ETAG}', 304), ("*", 304), ('"a"', 200), ("", 200)],
)
def test_only_a_finished_log_is_not_modified(known, status):
    assert asked(if_none_match=known).answer(FINISHED).status == status
    assert asked(if_none_match=known).answer(LIVE).status == 200


def test_only_what_does_not_change_any_more_may_be_kept():
    assert asked().answer(LIVE).headers["Cache-Control"] == "no-store"
    assert asked().answer(FINISHED).headers["Cache-Control"] == "private, immutable"


# ------------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(("offset", "begin"), [(0, 0), (3, 3), (10, 10), (-3, 7), (-30, 0)])
def test_an_offset_has_no_name_and_no_range(offset, begin):
    answer = Selection(offset).answer(LIVE)
    assert shown(answer) == (200, begin, 10, None)
    assert "ETag" not in answer.headers
    assert answer.headers["Accept-Ranges"] == "none"


def test_an_offset_beyond_the_end_is_refused():
    with pytest.raises(OffsetBeyondEnd):
        Selection(11).answer(LIVE)

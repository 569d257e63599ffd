"""Parts of the output, as one asks for them over HTTP."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from answers import assert_problem
from gates import Gate
from gates import lines as lines_of
from running import Service
from waiting import until

pytestmark = pytest.mark.e2e

NDJSON = {"Accept": "application/x-ndjson"}
LAST = "é\x1b[1mERR\x1b[0m".encode()
WHOLE = "".join(f"line {n}\n" for n in range(1, 100)).encode() + LAST


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    """A finished one with a hundred lines, of two commands and two streams."""
    first = "for n in $(seq 50); do echo line $n; done"
    second = "for n in $(seq 51 99); do echo line $n; done"
    view = service.run(
        {
            "Commands": [
                {"CommandLine": first},
                {"CommandLine": rf"{second}; exec >&2; printf 'é\033[1mERR\033[0m'"},
            ]
        }
    )
    assert view["ExitCode"] == 0
    return view["ID"]


def get(service: Service, job: str, query: str, resource: str = "output", **headers: str):
    return service.client.get(f"/{job}/{resource}?{query}", headers=headers)


def ok(service: Service, job: str, query: str, resource: str = "output", **headers: str):
    answer = get(service, job, query, resource, **headers)
    assert answer.status_code == 200, answer.text
    return answer


def records(answer: httpx.Response) -> list[dict]:
    return [json.loads(line) for line in answer.content.splitlines()]


# ---------------------------------------------------------------------------------- where it begins


@pytest.mark.parametrize("resource", ["output", "attach"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tail=1", LAST),
        ("tail=2", b"line 99\n" + LAST),
        ("tail=0", b""),
        ("tail=1000", WHOLE),
        ("tail=1&stream=stdout", b"line 99\n"),
        ("tail=1&command=0", b"line 50\n"),
        ("command=0&limit=13", b"line 1\nline 2"),
        ("command=1&stream=stderr", LAST),
        ("stream=stderr&limit=1", "é".encode()),
        ("limit=10&offset=7", b"line 2\nlin"),
        ("since=1h", WHOLE),
        ("until=1h", b""),
        ("since=1970-01-01T00:00:00Z&until=1", b""),
    ],
)
def test_a_part_is_what_was_asked_for(service, job, resource, query, expected):
    answer = ok(service, job, query, resource)
    assert answer.content == expected
    assert "etag" not in answer.headers


def test_a_part_has_no_ranges(service, job):
    assert ok(service, job, "tail=2", Range="bytes=1-2").content == b"line 99\n" + LAST


def test_parts_of_a_size_are_read_on_at_jobrunner_next(service, job):
    got, offset = b"", 0
    while offset < len(WHOLE):
        answer = ok(service, job, f"offset={offset}&limit=100")
        assert answer.headers["jobrunner-offset"] == str(offset)
        assert answer.headers["content-length"] == str(len(answer.content))
        got += answer.content
        offset = int(answer.headers["jobrunner-next"])
    assert got == WHOLE


def test_a_limited_stream_is_whole_and_says_where_it_ended(service, job):
    *_, end = records(ok(service, job, "limit=20", "attach", **NDJSON))
    assert (end["Type"], end["Next"], end["State"]) == ("end", 20, "exited")
    plain = ok(service, job, "limit=20", "attach")
    assert (plain.content, plain.headers["jobrunner-next"]) == (WHOLE[:20], "20")
    piped = ok(service, job, "limit=20&command=0", "attach", TE="trailers")
    assert piped.content == WHOLE[:20]


def test_both_ends_come_with_what_lies_between(service, job):
    answer = ok(service, job, "head=14&tail_bytes=13")
    middle = f"[jobrunner: bytes 14 to {len(WHOLE) - 13} left out]\n".encode()
    assert answer.content == WHOLE[:14] + middle + LAST
    assert answer.headers["jobrunner-elided"] == f"14-{len(WHOLE) - 13}"
    found = records(ok(service, job, "head=14&tail_bytes=13", **NDJSON))
    assert [(r["Type"], r.get("Text"), r.get("From"), r.get("To")) for r in found[:-1]] == [
        ("output", "line 1\nline 2\n", None, None),
        ("elided", None, 14, len(WHOLE) - 13),
        ("output", LAST.decode(), None, None),
    ]
    raw = ok(service, job, "head=14&tail_bytes=13&format=bytes")
    assert raw.content == WHOLE[:14] + LAST
    assert ok(service, job, "head=10000&tail_bytes=1").content == WHOLE


def test_times_select_what_came_between_them(service, gate: Gate):
    job = service.submit(f"echo one; read -r _ < {gate}; echo two; read -r _ < {gate}; echo three")
    marks = []
    for count in (1, 2):
        lines_of(service, job, count)
        # Times of runs are exact to 10 ms.
        marks.append(time.time() + 0.02)
        until(lambda mark=marks[-1]: time.time() > mark + 0.02)
        gate.open()
    service.wait(job)
    first, second = marks
    assert ok(service, job, f"since={first:.9f}").content == b"two\nthree\n"
    assert ok(service, job, f"since={first:.9f}&until={second:.9f}").content == b"two\n"
    assert ok(service, job, f"until={second:.9f}", "attach").content == b"one\ntwo\n"


# ---------------------------------------------------------------------------------------- live ones


def test_a_live_stream_begins_at_its_tail_and_goes_on(service, gate: Gate):
    job = service.submit(f"printf 'a\\nb\\nc\\n'; read -r _ < {gate}; echo d")
    lines_of(service, job, 3)
    with service.client.stream("GET", f"/{job}/attach?tail=1") as tail:
        with service.client.stream("GET", f"/{job}/attach?tail=0") as new:
            with service.client.stream("GET", f"/{job}/attach?command=0&tail=2") as one:
                gate.open()
                assert (tail.read(), new.read(), one.read()) == (b"c\nd\n", b"d\n", b"b\nc\nd\n")
                assert new.headers["jobrunner-offset"] == "6"


def test_a_live_stream_ends_at_its_limit_and_at_its_time(service, gate: Gate):
    job = service.submit(f"printf 'abcdef\\n'; read -r _ < {gate}; echo more")
    lines_of(service, job, 1)
    assert ok(service, job, "limit=3", "attach").content == b"abc"
    begin = time.monotonic()
    assert ok(service, job, f"until={time.time() + 0.7:.3f}", "attach").content == b"abcdef\n"
    assert time.monotonic() - begin > 0.5
    assert ok(service, job, "until=0s", "attach").content == b"abcdef\n"
    *_, end = records(ok(service, job, "limit=7", "attach", **NDJSON))
    assert (end["Type"], end["State"], end["Next"]) == ("end", "running", 7)
    with service.client.stream("GET", f"/{job}/attach?limit=9") as limited:
        gate.open()
        assert limited.read() == b"abcdef\nmo"


def test_a_pending_job_has_nothing_to_skip(service, gate: Gate):
    with service.client.stream("POST", "/", json={"CommandLine": "true"}):
        pass
    job = service.submit(f"echo one; read -r _ < {gate}; echo two")
    with service.client.stream("GET", f"/{job}/attach?limit=5&since=1s") as limited:
        gate.open()
        assert limited.read() == b"one\nt"


def test_a_reader_of_events_that_comes_again_gets_what_it_lacks_whatever_its_tail(service, job):
    sse = {"Accept": "text/event-stream"}
    first = ok(service, job, "tail=1", **sse).text
    assert "line 99" not in first
    again = ok(service, job, "tail=1", **sse, **{"Last-Event-ID": str(len(WHOLE) - 21)}).text
    assert "line 99" in again


# ---------------------------------------------------------------------------------------- rewritten


def test_escape_sequences_and_overwritten_text_are_left_out(service):
    job = service.run(r"printf '\033[32mgreen\033[0m\n10%%\r100%%\nend'")["ID"]
    assert ok(service, job, "ansi=strip").content == b"green\n10%\r100%\nend"
    assert ok(service, job, "ansi=strip&cr=collapse").content == b"green\n100%\nend"
    found = records(ok(service, job, "ansi=strip&cr=collapse&lines=true", **NDJSON))
    assert [(r.get("Offset"), r.get("End"), r.get("Text")) for r in found[:-1]] == [
        (0, 15, "green"),
        (15, 24, "100%"),
        (24, 27, "end"),
    ]
    *found, _ = records(ok(service, job, "ansi=strip", **NDJSON))  # one for what came at once
    assert "".join(r["Text"] for r in found) == "green\n10%\r100%\nend"
    places = [place for r in found for place in (r["Offset"], r["End"])]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 27)


# --------------------------------------------------------------------------------------------- grep


def test_lines_that_match_come_as_text_or_as_records_with_their_number(service, job):
    assert ok(service, job, "grep=line .7$").content == b"".join(
        b"line %d7\n" % n for n in range(1, 10)
    )
    found = records(ok(service, job, "grep=9$&stream=stdout&max=1", **NDJSON))
    assert [(r["Type"], r.get("Line"), r.get("Offset"), r.get("Text")) for r in found] == [
        ("line", 9, 56, "line 9"),
        ("matches", None, None, None),
    ]
    assert found[-1] == {"Type": "matches", "Count": 10}
    assert found[0]["Stream"] == "stdout"
    assert found[0]["Command"] == 0
    assert found[0]["Time"].endswith("Z")
    events = ok(service, job, "grep=line 42", Accept="text/event-stream").text
    assert "event: line\n" in events
    assert events.endswith('event: matches\ndata: {"Count":1}\n\n')


def test_what_grep_is_asked_for_beside_a_pattern(service, job):
    assert ok(service, job, "grep=LINE 42&ignore_case=true").content == b"line 42\n"
    assert ok(service, job, "grep=line&invert=true&ansi=strip").content == "éERR\n".encode()
    around = ok(service, job, "grep=line (42|47)&context=1").content
    assert around == b"line 41\nline 42\nline 43\n--\nline 46\nline 47\nline 48\n"
    found = records(ok(service, job, "grep=line 42&context=1", **NDJSON))
    assert [r.get("Context") for r in found] == [True, None, True, None]
    assert ok(service, job, "grep=^line&command=1&max=1").content == b"line 51\n"
    assert ok(service, job, "grep=line&tail=3&format=bytes").content == b"line 98\nline 99\n"
    stamped = ok(service, job, "grep=line 42&timestamps=true").text
    assert stamped.endswith("Z line 42\n")
    partial = records(ok(service, job, "grep=ERR&ansi=strip", **NDJSON))[0]
    assert (partial["Text"], partial["Partial"]) == ("éERR", True)


def test_a_search_in_parts_is_read_on_at_jobrunner_next(service, job):
    begin, end = WHOLE.index(b"line 10\n"), WHOLE.index(LAST)
    got, offset = b"", begin
    while offset < end:
        answer = ok(service, job, f"grep=7$&offset={offset}&limit=80")  # ten lines
        assert int(answer.headers["jobrunner-next"]) == offset + 80
        got += answer.content
        offset += 80
    assert got == ok(service, job, f"grep=7$&offset={begin}").content
    events = ok(service, job, f"grep=7$&offset={begin}&limit=80&format=sse").text
    assert f"id: {begin + 80}.end\nevent: matches\n" in events


def test_a_part_that_depends_on_when_it_is_asked_for_is_not_kept(service, job):
    for query in ("tail=1", "since=1970-01-01T00:00:00Z", "grep=line", "tail=1&grep=line"):
        assert ok(service, job, query).headers["cache-control"] == "private, immutable"
    for query in ("since=1h", "until=1s", "grep=line&since=1h"):
        assert ok(service, job, query).headers["cache-control"] == "no-store"


def test_a_job_without_output_has_no_line(service):
    job = service.run("true")["ID"]
    assert records(ok(service, job, "grep=.", **NDJSON)) == [{"Type": "matches", "Count": 0}]
    assert ok(service, job, "tail=5&ansi=strip&head=3").content == b""


# --------------------------------------------------------------------------------------- bad values


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("offset=0&tail=1", ["'offset'", "'tail'"]),
        ("limit=1&head=1", ["'limit'", "'head'"]),
        ("limit=1&tail_bytes=1", ["'limit'", "'tail_bytes'"]),
        ("grep=a&head=1", ["'grep'", "'head'"]),
        ("grep=a&tail_bytes=1", ["'grep'", "'tail_bytes'"]),
        ("context=1", ["'context'", "'grep'"]),
        ("max=1", ["'max'", "'grep'"]),
        ("invert=true", ["'invert'", "'grep'"]),
        ("grep=&head=1", ["'grep'", "'head'"]),
        ("ignore_case=true", ["'ignore_case'", "'grep'"]),
        ("since=1s&until=1h", ["'since'", "'until'"]),
        ("grep=a&format=asciicast", ["'grep'", "'asciicast'"]),
        ("grep=(", ["'grep'", "missing )"]),
        ("grep=(?=a)", ["'grep'", "look-around"]),
        ("grep=" + "a" * 1001, ["'grep'", "at most 1000 characters"]),
        ("command=2", ["'command'", "from 0 to 1"]),
        ("tail=-1", ["'tail'", "from 0"]),
        ("limit=0", ["'limit'", "from 1"]),
        ("since=yesterday", ["'since'", "RFC 3339"]),
        ("ansi=keep", ["'ansi'", "strip"]),
        ("cr=1", ["'cr'", "collapse"]),
    ],
)
def test_bad_values_and_contradictions_are_named(service, job, query, named):
    answer = get(service, job, query)
    assert_problem(answer, 400)
    assert all(word in answer.json()["detail"] for word in named), answer.text


def test_an_empty_pattern_is_one(service, job):
    assert get(service, job, "grep=&max=1").text.count("\n") == 1


@pytest.mark.parametrize(
    "query", ["grep=a", "head=1", "tail_bytes=1", "ansi=strip", "cr=collapse", "context=1", "max=1"]
)
def test_what_only_stored_output_has_is_unknown_to_attach(service, job, query):
    answer = get(service, job, query, "attach")
    assert_problem(answer, 400)
    assert "Unknown query parameter" in answer.json()["detail"]

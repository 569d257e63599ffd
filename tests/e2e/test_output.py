"""`GET /<ID>/output`: what there is now, in whole, in ranges and by long polls; never less, and never
something else, than was asked for."""

from __future__ import annotations

import concurrent.futures
import filecmp
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import assert_problem
from gates import Gate, lines
from running import Service, running
from waiting import until

from service.api.ranges import FOLLOWING

pytestmark = pytest.mark.e2e
WORKERS = 2

# Seconds: a fuse.
FUSE_S = 300
TEXT = b"0123456789"


@pytest.fixture(scope="module")
def finished(service: Service) -> str:
    job_id: str = service.run("printf 01234; printf ab >&2; printf 56789")["ID"]
    return job_id


def get(service: Service, job_id: str, range_: str = "", query: str = "", **headers: str) -> Any:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if range_:
        headers["Range"] = f"bytes={range_}"
    return service.client.get(f"/{job_id}/output{query}", headers=headers)


def seen(answer: httpx.Response) -> tuple[int, bytes, str | None]:
    return answer.status_code, answer.content, answer.headers.get("content-range")


@pytest.fixture
def growing(service: Service, gate: Gate) -> Iterator[str]:
    """A job that has written ten bytes, and writes as many more each time that it is let go on."""
    job_id = service.submit(
        f"printf '01234567\\n.'; for i in 1 2 3; do read -r _ < {gate}; printf 0123456789; done"
    )
    assert lines(service, job_id, 1) == ["01234567"]
    until(lambda: service.show(job_id)["Output"]["Bytes"] == 10)
    yield job_id
    service.kill(job_id, grace=0, wait="true")


# ------------------------------------------------------------------------------------- finished


def test_all_of_a_finished_job_comes_with_its_length_and_may_be_kept(service, finished):
    answer = get(service, finished)
    assert seen(answer)[0] == 200
    assert sorted(answer.content) == sorted(TEXT + b"ab")
    assert {name: answer.headers[name] for name in (
        "content-length", "content-type", "etag", "accept-ranges", "cache-control", "vary",
        "jobrunner-offset", "jobrunner-next", "jobrunner-state", "jobrunner-bytes",
    )} == {
        "content-length": "12",
        "content-type": "text/plain; charset=utf-8",
        "etag": f'"{finished}"',
        "accept-ranges": "bytes",
        "cache-control": "private, immutable",
        "vary": "Accept",
        "jobrunner-offset": "0",
        "jobrunner-next": "12",
        "jobrunner-state": "exited",
        "jobrunner-bytes": "12",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("range_", "begin", "end"),
    [
        ("0-", 0, 10),
        ("3-5", 3, 6),
        ("-4", 6, 10),
        ("9-", 9, 10),
        ("2-99", 2, 10),
        ("1-2,5-6", 1, 3),
    ],
)
def test_a_range_is_those_bytes(service, finished, range_, begin, end):
    answer = get(service, finished, range_, "?stream=stdout")
    assert seen(answer) == (206, TEXT[begin:end], f"bytes {begin}-{end - 1}/10")
    assert (answer.headers["jobrunner-offset"], answer.headers["jobrunner-next"]) == (
        str(begin),
        str(end),
    )


@pytest.mark.parametrize("range_", ["10-", "10-20", "99-", "-0", f"{10**30}-"])
def test_a_range_beyond_the_end_is_an_empty_416(service, finished, range_):
    answer = get(service, finished, range_, "?stream=stdout")
    assert seen(answer) == (416, b"", "bytes */10")
    assert answer.headers["content-length"] == "0"


@pytest.mark.parametrize("range_", ["5-3", "x-", "", "1"])
def test_what_is_no_range_is_ignored(service, finished, range_):
    answer = get(service, finished, query="?stream=stdout", Range=f"bytes={range_}")
    assert seen(answer) == (200, TEXT, None)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_range_in_several_lines_is_none_and_etags_in_several_lines_are_a_list(
    service, finished, method
):
    url = f"/{finished}/output"
    ranges = [("Range", "bytes=0-1"), ("Range", "bytes=3-4")]
    answer = service.client.request(method, url, headers=ranges)
    assert (answer.status_code, answer.headers["content-length"]) == (200, "12")
    tags = [("If-None-Match", '"x"'), ("If-None-Match", answer.headers["etag"])]
    assert service.client.request(method, url, headers=tags).status_code == 304


def test_a_job_without_output_has_no_byte(service):
    job_id = service.run("true")["ID"]
    assert seen(get(service, job_id)) == (200, b"", None)
    assert seen(get(service, job_id, "0-")) == (416, b"", "bytes */0")


def test_ranges_hold_for_that_log_alone(service, finished):
    etag = get(service, finished).headers["etag"]
    assert get(service, finished, "3-", If_Range=etag).status_code == 206
    for other in ('"x"', f"W/{etag}", "Thu, 01 Jan 2026 00:00:00 GMT"):
        assert get(service, finished, "3-", If_Range=other).status_code == 200
    assert get(service, finished, query="?stream=stdout").headers["etag"] != etag


def test_what_the_caller_has_is_not_sent_again(service, finished):
    etag = get(service, finished).headers["etag"]
    answer = get(service, finished, If_None_Match=etag)
    assert (seen(answer), answer.headers["etag"]) == ((304, b"", None), etag)
    assert get(service, finished, If_None_Match='"x"').status_code == 200


def test_head_tells_the_length_of_a_finished_job(service, finished):
    head = service.client.head(f"/{finished}/output", headers={"Range": "bytes=1-2"})
    assert (head.status_code, head.headers["content-length"]) == (200, "12")
    assert head.headers["accept-ranges"] == "bytes"


# ----------------------------------------------------------------------------------------- live


def test_a_live_job_answers_with_what_is_there_now(service, growing):
    answer = get(service, growing)
    assert seen(answer) == (200, b"01234567\n.", None)
    assert (answer.headers["content-length"], answer.headers["jobrunner-next"]) == ("10", "10")
    assert answer.headers["cache-control"] == "no-store"
    assert seen(get(service, growing, "4-")) == (206, b"4567\n.", "bytes 4-9/*")
    assert seen(get(service, growing, "4-5")) == (206, b"45", "bytes 4-5/*")
    assert seen(get(service, growing, "11-")) == (416, b"", "bytes */10")
    etag = answer.headers["etag"]
    assert get(service, growing, If_None_Match=etag).status_code == 200
    head = service.client.head(f"/{growing}/output")
    assert (head.status_code, head.headers["etag"]) == (200, etag)
    assert "content-length" not in head.headers


@pytest.mark.parametrize(("range_", "query"), [("10-", ""), ("", "?offset=10&wait=60")])
def test_who_has_everything_waits_for_the_next_byte(service, growing, gate, range_, query):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(get, service, growing, range_, query)
        until(lambda: reading(service) == 1)
        gate.open()
        answer = asked.result(FUSE_S)
    assert answer.content == b"0123456789"
    assert answer.headers["jobrunner-next"] == "20"
    assert answer.headers.get("content-range") == ("bytes 10-19/*" if range_ else None)


def reading(service: Service) -> int:
    """Readers of output, of all workers."""
    text = service.client.get("/metrics").text
    lines = [x for x in text.splitlines() if x.startswith("jobrunner_attached_readers{")]
    return sum(int(float(line.split()[1])) for line in lines)


@pytest.mark.parametrize("begin", ["tail=0", "since=2040-01-01T00:00:00Z"])
@pytest.mark.parametrize("format_", ["text", "ndjson", "text&grep=."])
def test_who_wants_only_what_comes_waits_for_it(service, growing, gate, begin, format_):
    query = f"?{begin}&wait=60&format={format_}"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(get, service, growing, "", query)
        until(lambda: reading(service) == 1)
        gate.open()
        answer = asked.result(FUSE_S)
    assert b"0123456789" in answer.content
    assert b"." not in answer.content.replace(b"Z", b"").split(b'"End"')[0]
    assert (answer.headers["jobrunner-offset"], answer.headers["jobrunner-next"]) == ("10", "20")
    assert "etag" not in answer.headers


@pytest.mark.parametrize("wait", ["0", "0.1"])
def test_who_does_not_wait_any_longer_is_told_that_there_is_nothing(service, growing, wait):
    assert seen(get(service, growing, "10-", f"?wait={wait}")) == (416, b"", "bytes */10")
    assert seen(get(service, growing, "", f"?wait={wait}&offset=10")) == (200, b"", None)


def test_the_end_of_the_job_ends_the_wait(service, growing):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ranged = pool.submit(get, service, growing, "10-", "?wait=60")
        polled = pool.submit(get, service, growing, "", "?wait=60&offset=10")
        until(lambda: reading(service) == 2)
        service.kill(growing, grace=0)
        assert seen(ranged.result(FUSE_S)) == (416, b"", "bytes */10")
        answer = polled.result(FUSE_S)
    assert (answer.content, answer.headers["jobrunner-state"]) == (b"", "killed")


def test_a_pending_job_is_waited_for_and_a_cleaned_one_is_not(state_dir, gate):
    with running(state_dir, environment={"JOBRUNNER_MAX_RUNNING": "1"}) as service:
        first = service.submit(f"read -r _ < {gate}")
        second = service.submit("printf hello")
        third = service.submit("printf hello")
        assert seen(get(service, second)) == (200, b"", None)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            asked = pool.submit(get, service, second, "", "?wait=60")
            other = pool.submit(get, service, third, "", "?wait=60")
            until(lambda: reading(service) == 2)
            service.kill(third)
            assert seen(other.result(FUSE_S)) == (200, b"", None)
            gate.open()
            assert seen(asked.result(FUSE_S)) == (200, b"hello", None)
        service.wait(first)


@pytest.mark.parametrize("query", ["", "?offset=0"])
def test_an_offset_of_zero_is_the_whole_log(service, finished, query):
    assert get(service, finished, "0-", query).status_code == 206


def test_an_offset_is_a_selection_without_ranges(service, finished):
    answer = get(service, finished, query="?stream=stdout&offset=-3")
    assert seen(answer) == (200, b"789", None)
    assert (answer.headers["accept-ranges"], answer.headers["jobrunner-offset"]) == ("none", "7")
    assert "etag" not in answer.headers
    document = assert_problem(get(service, finished, "1-", "?offset=2"), 400)
    assert "'offset'" in document["detail"]
    assert "'Range'" in document["detail"]
    beyond = assert_problem(get(service, finished, query="?offset=13"), 416)
    assert beyond["end"] == 12


@pytest.mark.parametrize(
    "query", ["timestamps=true", "format=ndjson", "format=sse", "lines=true&format=sse"]
)
def test_what_is_written_in_another_form_has_no_ranges(service, finished, query):
    answer = get(service, finished, "3-", f"?{query}")
    assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none")
    assert "etag" not in answer.headers
    assert "content-range" not in answer.headers
    assert answer.headers["jobrunner-next"] == "12"
    assert answer.content != get(service, finished).content


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("wait=61", "'wait'"),
        ("wait=-1", "'wait'"),
        ("wait=x", "'wait'"),
        ("follow=true", "'follow'"),
    ],
)
def test_a_bad_value_is_refused_by_name(service, finished, query, named):
    assert named in assert_problem(get(service, finished, query=f"?{query}"), 400)["detail"]


# ------------------------------------------------------------------------ ranges that are followed


def follow(service: Service, job_id: str, first: int, query: str = "", **headers: str) -> Any:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Range"] = f"bytes={first}-{FOLLOWING}"
    return service.client.stream("GET", f"/{job_id}/attach{query}", headers=headers)


def test_a_range_of_attach_that_has_no_end_is_followed_to_the_end_of_the_job(
    service, growing, gate
):
    with follow(service, growing, 4) as answer:
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes 4-{FOLLOWING}/*"
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["etag"] == f'"{growing}"'
        pieces = answer.iter_raw()
        assert next(pieces) == b"4567\n."
        gate.open(3)
        assert b"".join(pieces) == b"0123456789" * 3


def test_such_a_range_of_a_finished_job_has_an_end(service, finished):
    with follow(service, finished, 4, "?stream=stdout") as answer:
        assert answer.headers["content-range"] == "bytes 4-9/10"
        assert (answer.status_code, answer.read()) == (206, TEXT[4:])
    for beyond in (10, 11):
        with follow(service, finished, beyond, "?stream=stdout") as answer:
            assert answer.headers["content-range"] == "bytes */10"
            assert (answer.status_code, answer.read()) == (416, b"")


def test_attach_ignores_what_is_no_such_range(service, finished):
    for headers in ({"Range": "bytes=4-"}, {"Range": f"bytes=4-{FOLLOWING}", "If-Range": '"x"'}):
        answer = service.client.get(f"/{finished}/attach", headers=headers)
        assert (answer.status_code, len(answer.content)) == (200, 12)
    for query in ("?format=ndjson", "?gaps=mark", "?follow=false", "?timestamps=true"):
        with follow(service, finished, 4, query) as answer:
            assert answer.status_code == 200
    with follow(service, finished, 4, "?offset=1") as answer:
        answer.read()
        assert "'Range'" in assert_problem(answer, 400)["detail"]


def test_such_a_range_goes_on_behind_a_gap(service, gapped):
    job_id, start, end, size = gapped
    with follow(service, job_id, start + 1) as answer:
        assert answer.headers["content-range"] == f"bytes {end}-{size - 1}/{size}"
        assert "content-length" not in answer.headers
        assert len(answer.read()) == size - end
    with follow(service, job_id, 0) as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()


# ---------------------------------------------------------------------------------------- a gap


@pytest.fixture(scope="module")
def gapped(service: Service) -> tuple[str, int, int, int]:
    view = service.run({"CommandLine": "seq -f '%015.0f' 0 99999", "OutputLimit": 1 << 16})
    ((start, end),) = view["Output"]["Gaps"]
    return view["ID"], start, end, view["Output"]["Bytes"]


def test_a_range_ends_where_bytes_were_dropped_and_goes_on_behind_them(service, gapped):
    job_id, start, end, size = gapped
    first = get(service, job_id, "0-")
    assert (first.status_code, len(first.content)) == (206, start)
    assert first.headers["content-range"] == f"bytes 0-{start - 1}/{size}"
    for offset in (start, start + 1, end - 1, end):
        then = get(service, job_id, f"{offset}-")
        assert (then.status_code, len(then.content)) == (206, size - end)
        assert then.headers["content-range"] == f"bytes {end}-{size - 1}/{size}"
        assert ("content-length" in then.headers) is (offset == end)
    assert then.content.endswith(b"%015d\n" % 99999)


@pytest.mark.parametrize("format_", ["bytes", "docker", "ndjson&gaps=cut"])
def test_an_offset_among_dropped_bytes_is_refused_with_where_it_goes_on(service, gapped, format_):
    job_id, start, end, size = gapped
    for offset in (start, start + 1, end - 1):
        answer = get(service, job_id, query=f"?offset={offset}&format={format_}")
        document = assert_problem(answer, 416)
        assert (document["gap"], document["end"]) == ([start, end], size)
    assert get(service, job_id, query=f"?offset={end}&format={format_}").status_code == 200


def test_text_marks_the_gap_and_has_no_ranges_then(service, gapped):
    job_id, start, end, _ = gapped
    for query in ("", "?gaps=mark"):
        answer = get(service, job_id, query=query)
        assert b"[jobrunner: %d bytes dropped]" % (end - start) in answer.content
        assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none")
        assert "etag" not in answer.headers
    assert get(service, job_id, "5-", "?gaps=mark").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        get(service, job_id, query="?gaps=cut")


# ------------------------------------------------------------------------------ other programs


def ran(*command: str) -> int:
    return subprocess.run(
        command, check=False, capture_output=True, timeout=FUSE_S, stdin=subprocess.DEVNULL
    ).returncode


@pytest.mark.once
@pytest.mark.parametrize("program", [["curl", "-sC", "-", "-o"], ["wget", "-qcO"]])
def test_a_second_download_of_a_finished_log_changes_nothing(
    service: Service, tmp_path: Path, program: list[str]
) -> None:
    job_id = service.run("printf hello")["ID"]
    url = f"{service.url}/{job_id}/output"
    out = tmp_path / "out"
    for _ in range(3):
        assert ran(*program, str(out), url) == 0
        assert out.read_bytes() == b"hello"
    out.write_bytes(b"he")
    assert ran(*program, str(out), url) == 0
    assert out.read_bytes() == b"hello"


@pytest.mark.once
@pytest.mark.parametrize("program", [["curl", "-sC", "-", "-o"], ["wget", "-qcO", "-t1"]])
def test_a_download_never_joins_what_lies_around_a_gap(
    service: Service, gapped: tuple[str, int, int, int], tmp_path: Path, program: list[str]
) -> None:
    job_id, start, end, size = gapped
    *options, output = program if program[0] == "curl" else [program[0], "-t1", "-qcO"]
    out = tmp_path / "out"
    # As many bytes as lie behind the gap, too: with a Content-Length curl takes them for the whole.
    for have in (start, size - end):
        assert start <= have < end
        out.write_bytes(get(service, job_id, "0-").content.ljust(have))
        for _ in range(2):
            assert ran(*options, output, str(out), f"{service.url}/{job_id}/output") != 0
            assert out.stat().st_size == have


# A random 40 MB at a time, also kept in a file to compare with.
PIECES = 5
PIECE_BYTES = 40_000_000


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(
    "program",
    [
        ["curl", "-sS", "--limit-rate", "30M", "-C", "-", "-o"],
        ["wget", "-q", "--limit-rate=30m", "-cO"],
    ],
    ids=["curl", "wget"],
)
def test_a_download_of_a_growing_log_that_is_cut_again_and_again_ends_whole(
    state_dir: Path, tmp_path: Path, gate: Gate, program: list[str]
) -> None:
    out = tmp_path / "out"
    with running(state_dir, workers=2) as service:
        job_id = service.submit(
            f"for i in $(seq {PIECES}); do head -c {PIECE_BYTES} /dev/urandom | tee -a copy;"
            f" read -r _ < {gate}; done"
        )
        command = [*program, str(out), f"{service.url}/{job_id}/output"]
        workers = list(service.worker_pids())
        until(lambda: service.show(job_id)["Output"]["Bytes"] == PIECE_BYTES)
        cuts = 0
        while cuts <= PIECES:
            before = size_of(out)
            with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
                until(lambda: size_of(out) > before + 1_000_000 or process.poll() is not None)  # noqa: B023 - called here
                if process.poll() is not None:
                    continue  # it had what there was
                if cuts % 2 and workers:
                    os.kill(workers.pop(), signal.SIGKILL)
                process.kill()
            cuts += 1
            gate.open()
        view = service.wait(job_id)
        assert (view["ExitCode"], view["Output"]["Bytes"]) == (0, PIECES * PIECE_BYTES)
        assert size_of(out) < PIECES * PIECE_BYTES
        for _ in range(2):
            assert ran(*command) == 0
            assert filecmp.cmp(out, Path(view["WorkingDir"], "copy"), shallow=False)

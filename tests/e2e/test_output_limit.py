"""A job that writes more than its limit: little of the disk, nothing hidden from its readers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from answers import assert_problem, pointers
from gates import Gate
from running import Service, running

pytestmark = pytest.mark.e2e

LIMIT = 1 << 20
TOTAL = 64 << 20
LINE = 16
# An eighth, and what the file system rounds up.
SLACK = LIMIT // 8 + 32 * 1024
# Asked for as bytes, output is cut where some were dropped.
BYTES = {"Accept": "application/octet-stream"}
# Numbered lines of 16 bytes: any of them tells where it stood.
FLOOD = f"seq -f '%015.0f' 0 {TOTAL // LINE - 1}"
MARK = re.compile(rb"\[jobrunner: (\d+) bytes dropped\]\n")


def lines_from(offset: int, end: int) -> bytes:
    """What FLOOD wrote there."""
    assert offset % LINE == end % LINE == 0
    return b"".join(b"%015d\n" % number for number in range(offset // LINE, end // LINE))


def flood(start: int, end: int) -> bytes:
    """The same for any two places."""
    first = start - start % LINE
    return lines_from(first, end + -end % LINE)[start - first : end - first]


@pytest.fixture(scope="module")
def flooded(service: Service) -> tuple[str, int, int]:
    """A finished job, and its gap."""
    view = service.run({"CommandLine": FLOOD, "OutputLimit": LIMIT})
    assert view["ExitCode"] == 0
    ((start, end),) = view["Output"]["Gaps"]
    return view["ID"], start, end


def cut_short(service: Service, job_id: str, **parameters: str | int) -> bytes:
    """What comes before the connection is cut."""
    got: list[bytes] = []
    with service.client.stream(
        "GET", f"/{job_id}/attach", params=parameters, headers=BYTES
    ) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(answer.iter_raw())
    return b"".join(got)


def test_view_tells_all_bytes_and_which_are_gone(service, flooded):
    job_id, start, end = flooded
    output = service.show(job_id)["Output"]
    assert output == {"Bytes": TOTAL, "Complete": True, "Gaps": [[start, end]], "Exact": True}
    assert start == LIMIT // 2
    assert LIMIT // 2 <= TOTAL - end <= LIMIT // 2 + SLACK


def test_disk_holds_little_more_than_the_limit(service, flooded):
    directory = service.state_dir / "logs" / flooded[0]
    assert (directory / "output").stat().st_size == TOTAL
    for name in ("output", "runs"):
        assert (directory / name).stat().st_blocks * 512 <= LIMIT + SLACK


def test_a_job_within_its_limit_has_no_gap(service):
    view = service.run({"CommandLine": f"{FLOOD} | head -c {LIMIT}", "OutputLimit": LIMIT})
    assert view["Output"] == {"Bytes": LIMIT, "Complete": True, "Gaps": [], "Exact": True}
    assert service.output(view["ID"]) == flood(0, LIMIT)


def test_attach_is_cut_at_the_gap_after_the_last_byte_before_it(service, flooded):
    job_id, start, _ = flooded
    assert cut_short(service, job_id) == flood(0, start)
    assert cut_short(service, job_id, offset=start - 5) == flood(start - 5, start)
    assert cut_short(service, job_id, follow="false") == flood(0, start)


def test_answer_of_a_finished_job_counts_the_dropped_bytes(service, flooded):
    answer = service.client.head(f"/{flooded[0]}/attach", headers=BYTES)
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(TOTAL))


@pytest.mark.skipif(not shutil.which("curl"), reason="curl isn't installed")
def test_curl_reports_the_cut(service, flooded):
    job_id, start, end = flooded
    for offset, status, length in ((0, 18, start), (end, 0, TOTAL - end)):
        url = f"{service.url}/{job_id}/attach?gaps=cut&offset={offset}"
        curl = subprocess.run(["curl", "-sN", url], capture_output=True, check=False, timeout=300)
        assert (curl.returncode, len(curl.stdout)) == (status, length)


def test_attach_goes_on_behind_the_gap(service, flooded):
    job_id, _, end = flooded
    assert service.output(job_id, offset=end) == flood(end, TOTAL)
    assert service.output(job_id, offset=-1000) == flood(TOTAL - 1000, TOTAL)


def test_an_offset_inside_the_gap_is_told_where_to_go_on(service, flooded):
    job_id, start, end = flooded
    for offset in (start, end - 1, start - TOTAL):
        answer = service.client.get(f"/{job_id}/attach", params={"offset": offset}, headers=BYTES)
        document = assert_problem(answer, 416)
        assert document["gap"] == [start, end]
        assert f"goes on at offset {end}" in document["detail"]
        assert answer.headers["content-range"] == f"bytes */{TOTAL}"


def test_mark_puts_one_line_at_the_place_and_goes_on(service, flooded):
    job_id, start, end = flooded
    mark = b"[jobrunner: %d bytes dropped]\n" % (end - start)
    for parameters, headers in (
        ({}, {}),
        ({"gaps": "mark"}, BYTES),
        ({"follow": "false"}, {"Accept": "text/*"}),
    ):
        with service.client.stream(
            "GET", f"/{job_id}/attach", params=parameters, headers=headers
        ) as answer:
            assert "content-length" not in answer.headers
            got = answer.read()
        assert got == flood(0, start) + mark + flood(end, TOTAL)


def test_what_says_cut_is_cut_whatever_it_accepts(service, flooded):
    job_id, start, _ = flooded
    for accept in ("text/plain", "*/*", "application/octet-stream"):
        url = f"/{job_id}/attach?gaps=cut"
        with service.client.stream("GET", url, headers={"Accept": accept}) as answer:
            got = bytearray()
            with pytest.raises(httpx.RemoteProtocolError):
                for chunk in answer.iter_raw():
                    got += chunk
        assert got == flood(0, start)


def test_text_has_a_length_where_nothing_was_dropped(service, flooded):
    job_id, _, end = flooded
    for url, length in ((f"/{job_id}/attach?offset={end}", TOTAL - end), (empty_of(service), 0)):
        answer = service.client.get(url)
        assert (len(answer.content), answer.headers["content-length"]) == (length, str(length))


def empty_of(service: Service) -> str:
    return f"/{service.run('true')['ID']}/attach?gaps=mark"


def test_mark_inside_the_gap_counts_what_this_reader_misses(service, flooded):
    job_id, _, end = flooded
    got = service.output(job_id, gaps="mark", offset=end - 77, follow="false")
    assert got == b"[jobrunner: 77 bytes dropped]\n" + flood(end, TOTAL)


def test_mark_stands_on_a_line_of_its_own(service):
    view = service.run({"CommandLine": "yes '' | tr '\\n' x | head -c 1M", "OutputLimit": 65536})
    ((start, end),) = view["Output"]["Gaps"]
    mark = b"\n[jobrunner: %d bytes dropped]\n" % (end - start)
    got = service.output(view["ID"], gaps="mark")
    assert got == b"x" * start + mark + b"x" * ((1 << 20) - end)


def test_a_stream_has_its_own_gap(service):
    command = f"({FLOOD} | head -c 2M) & ({FLOOD} | head -c 1M >&2) & wait"
    view = service.run({"CommandLine": command, "OutputLimit": 1 << 18})
    assert view["Output"]["Bytes"] == 3 << 20
    missing = 0
    for stream, size in (("stdout", 2 << 20), ("stderr", 1 << 20)):
        got = service.output(view["ID"], stream=stream, gaps="mark")
        for place, dropped in marks_in(got, flood(0, size)):
            missing += dropped
            rest = service.output(view["ID"], stream=stream, offset=place + dropped)
            assert rest == flood(place + dropped, size)
            url = f"/{view['ID']}/attach?stream={stream}&offset={place}"
            answer = service.client.get(url, headers=BYTES)
            assert assert_problem(answer, 416)["gap"] == [place, place + dropped]
    ((start, end),) = view["Output"]["Gaps"]
    assert missing == end - start


def marks_in(got: bytes, written: bytes) -> list[tuple[int, int]]:
    """Where marks stand and what they tell; all else must be what was written."""
    marks = []
    place = begin = 0
    for mark in MARK.finditer(got):
        kept = got[begin : mark.start()]
        if kept != written[place : place + len(kept)]:
            assert kept.endswith(b"\n")  # which came with the mark
            kept = kept[:-1]
            assert kept == written[place : place + len(kept)]
        place += len(kept)
        marks.append((place, int(mark[1])))
        place += int(mark[1])
        begin = mark.end()
    assert got[begin:] == written[place:]
    return marks


def numbers(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def test_a_reader_that_is_overtaken_live_gets_one_line_and_the_rest(service, tmp_path):
    gate = Gate(tmp_path / "gate")
    command = f"echo ready; read -r _ < {gate}; {FLOOD}; read -r _ < {gate}; echo end"
    job_id = service.submit({"CommandLine": command, "OutputLimit": LIMIT})
    url = f"/{job_id}/attach?gaps=mark"
    with socket.create_connection(("127.0.0.1", service.port), 60) as slow:
        # It takes the first line and then nothing while the job floods.
        slow.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        raw = b""
        while b"ready\n" not in raw:
            raw += (chunk := slow.recv(4096))
            assert chunk, raw
        gate.open()
        with service.client.stream("GET", url) as quick:
            lines = numbers(quick.iter_raw())
            last = b"%015d" % (TOTAL // LINE - 1)
            assert next(line for line in lines if line == last)
            output = service.show(job_id)["Output"]
            assert output["Bytes"] == TOTAL + len(b"ready\n")
            assert len(output["Gaps"]) == 1
            gate.open()
            assert next(lines) == b"end"
        while not raw.endswith(b"\r\n0\r\n\r\n"):
            chunk = slow.recv(1 << 16)
            assert chunk
            raw += chunk
    gate.close()
    body = dechunked(raw.partition(b"\r\n\r\n")[2])
    marks = marks_in(body, b"ready\n" + flood(0, TOTAL) + b"end\n")
    assert sum(dropped for _, dropped in marks) > TOTAL // 2


def dechunked(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        body += raw[:length]
        raw = raw[length + 2 :]
    return body


def test_a_live_reader_is_cut_at_the_gap_and_resumes_behind_it(service, tmp_path):
    gate = Gate(tmp_path / "gate")
    command = f"{FLOOD}; read -r _ < {gate}"
    job_id = service.submit({"CommandLine": command, "OutputLimit": LIMIT})
    with service.client.stream("GET", f"/{job_id}/attach?offset=0&gaps=mark") as answer:
        last = b"%015d" % (TOTAL // LINE - 1)
        assert next(line for line in numbers(answer.iter_raw()) if line == last)
    view = service.show(job_id)
    assert view["State"] == "running"
    ((start, end),) = view["Output"]["Gaps"]
    assert cut_short(service, job_id) == flood(0, start)
    gate.open()
    assert service.output(job_id, offset=end) == flood(end, TOTAL)
    gate.close()


def test_the_limit_holds_on_after_an_upgrade_of_the_supervisor(state_dir: Path, tmp_path: Path):
    gate = Gate(tmp_path / "gate")
    with running(state_dir) as service:
        command = f"{FLOOD} | head -c 2M; read -r _ < {gate}; {FLOOD} | tail -c +2097153"
        job_id = service.submit({"CommandLine": command, "OutputLimit": LIMIT})
        with service.client.stream("GET", f"/{job_id}/attach?gaps=mark") as answer:
            last = b"%015d" % ((2 << 20) // LINE - 1)
            assert next(line for line in numbers(answer.iter_raw()) if line == last)
        ((start, before),) = service.show(job_id)["Output"]["Gaps"]
        upgrade = [sys.executable, "-m", "service", "supervisor", "upgrade"]
        environment = {**os.environ, "JOBRUNNER_STATE_DIR": str(state_dir)}  # noqa: TID251 - a person's shell
        subprocess.run(upgrade, check=True, capture_output=True, timeout=300, env=environment)
        gate.open()
        view = service.wait(job_id)
        assert view["Output"] == {
            "Bytes": TOTAL,
            "Complete": True,
            "Gaps": view["Output"]["Gaps"],
            "Exact": True,
        }
        ((same, after),) = view["Output"]["Gaps"]
        assert (same, after > before) == (start, True)
        assert service.output(job_id, offset=after) == flood(after, TOTAL)
        output = service.state_dir / "logs" / job_id / "output"
        assert output.stat().st_blocks * 512 <= LIMIT + SLACK
    gate.close()


@pytest.mark.parametrize("value", [1, 65535, -1, 1.5, "1M", True, 2**64])
def test_a_limit_that_is_none_is_refused_with_its_place(service, value):
    answer = service.client.post("/", json={"CommandLine": "true", "OutputLimit": value})
    assert pointers(assert_problem(answer, 422)) == ["/OutputLimit"]


@pytest.mark.parametrize("value", ["hide", "", "MARK"])
def test_gaps_are_cut_or_marked_and_nothing_else(service, flooded, value):
    answer = service.client.get(f"/{flooded[0]}/attach", params={"gaps": value})
    assert "gaps" in assert_problem(answer, 400)["detail"]


def test_the_setting_is_default_and_ceiling(state_dir: Path):
    with running(state_dir, environment={"JOBRUNNER_OUTPUT_LIMIT": str(LIMIT)}) as service:
        answer = service.client.post("/", json={"CommandLine": "true", "OutputLimit": LIMIT + 1})
        document = assert_problem(answer, 422)
        assert pointers(document) == ["/OutputLimit"]
        assert str(LIMIT) in document["errors"][0]["detail"]
        for asked, kept in ((None, LIMIT), (0, LIMIT), (65536, 65536)):
            view = service.run({"CommandLine": f"{FLOOD} | head -c 4M", "OutputLimit": asked})
            ((start, end),) = view["Output"]["Gaps"]
            assert start == kept // 2
            assert (4 << 20) - end <= kept // 2 + SLACK

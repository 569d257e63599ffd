"""`GET /<ID>/lines`: lines by place and by number, live, damaged, with a gap, for who may see them."""

from __future__ import annotations

import base64
import concurrent.futures
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from gates import Gate
from running import Service
from waiting import until

from service.output.lines.line_index import LINES_NAME

pytestmark = pytest.mark.e2e


def lines(service: Service, job: str, **query: Any) -> dict[str, Any]:
    params = {name.rstrip("_"): value for name, value in query.items()}
    answer = service.client.get(f"/{job}/lines", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def texts(found: dict[str, Any]) -> list[str]:
    return [line["Text"] for line in found["Lines"]]


def index_of(service: Service, job: str) -> Path:
    return service.state_dir / "logs" / job / LINES_NAME


@pytest.fixture(scope="module")
def long(service: Service) -> str:
    """Some forty megabytes with colours, of which the index takes several steps."""
    program = (
        "BEGIN { for (n = 1; n <= 600000; n++)"
        r' printf "\033[3%dm%60s line %d\n", n % 8, "", n; printf "no end" }'
    )
    view = service.run(f"awk '{program}'")
    assert view["ExitCode"] == 0
    job: str = view["ID"]
    return job


def test_every_member_says_what_it_should(service):
    job = service.run("printf 'one\\n\\033[31mtwo\\n'; printf 'three\\nfo' >&2")["ID"]
    found = lines(service, job, at=5, before=1, after=2)
    times = [line.pop("Time") for line in found["Lines"]]
    assert times == sorted(times)
    assert found == {
        "Lines": [
            {"Line": 1, "Offset": 0, "End": 4, "Stream": "stdout", "Command": 0, "Text": "one"},
            {"Line": 2, "Offset": 4, "End": 13, "Stream": "stdout", "Command": 0,
             "Text": "\x1b[31mtwo"},
            {"Line": 3, "Offset": 13, "End": 19, "Stream": "stderr", "Command": 0,
             "Text": "three"},
            {"Line": 4, "Offset": 19, "End": 21, "Stream": "stderr", "Command": 0,
             "Text": "fo", "Partial": True},
        ],
        "Total": 4, "Begin": 0, "End": 21, "Size": 21, "Indexed": 21, "Sgr": "", "Gap": None,
        "Finished": True,
    }  # fmt: skip
    assert lines(service, job, from_=3)["Sgr"] == "\x1b[31m"
    assert texts(lines(service, job, from_=-1, before=1)) == ["three", "fo"]
    assert texts(lines(service, job, stream="stderr")) == ["three", "fo"]
    assert texts(lines(service, job, at=-1, before=9, stream="stdout")) == ["one", "\x1b[31mtwo"]
    assert texts(lines(service, job, at=21, after=0)) == ["fo"]
    assert texts(lines(service, job, from_=9)) == []
    assert texts(lines(service, job, from_=-9, after=0)) == ["one"]
    assert len(lines(service, job)["Lines"]) == 4


def test_any_bytes_are_told_as_other_formats_tell_them(service):
    job = service.run(r"printf 'a\000b\n\377\n\r\342\202\254\n'")["ID"]
    found = lines(service, job)["Lines"]
    assert [line.get("Text") for line in found] == ["a\0b", None, "\r\u20ac"]
    assert base64.b64decode(found[1]["Data"]) == b"\xff"


def test_what_can_t_be_meant_is_refused(service, long):
    for query, word in {
        "at=1&from=1": "contradict",
        "from=0": "from 1",
        "before=1001": "1000",
        "after=-1": "1000",
        "stream=stdin": "stdout",
        "wait=61": "60",
        "offset=1": "Unknown",
    }.items():
        answer = service.client.get(f"/{long}/lines?{query}")
        assert_problem(answer, 400)
        assert word in answer.json()["detail"]
    assert_problem(service.client.get(f"/{long}/lines?at=100000000"), 416)


def test_a_place_is_shown_without_the_index_and_numbered_once_it_is_there(service, long):
    size = service.show(long)["Output"]["Bytes"]
    path = index_of(service, long)
    path.unlink(missing_ok=True)
    # The index in memory is gone with its last reader.
    found = lines(service, long, at=size // 2, after=1, before=1)
    assert [line["Line"] for line in found["Lines"]] == [None] * 3
    assert found["Sgr"] is None
    assert not path.exists()
    numbered = lines(service, long, at=size // 2, after=1, before=1, wait=60)
    assert [line["Offset"] for line in numbered["Lines"]] == [
        line["Offset"] for line in found["Lines"]
    ]
    for line in numbered["Lines"]:
        assert line["Text"].endswith(f"line {line['Line']}")
    assert numbered["Sgr"] == f"\x1b[3{(numbered['Lines'][0]['Line'] - 1) % 8}m"
    found = lines(service, long, from_=-1)
    assert (found["Total"], found["Indexed"]) == (600_001, size)
    assert path.stat().st_size < size / 1000
    again = lines(service, long, from_=-1)
    assert again == found


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_index_is_made_anew(service, long, damage):
    assert lines(service, long, from_=-1)["Total"] == 600_001
    first = lines(service, long, from_=300_000, after=2)
    path = index_of(service, long)
    good = path.read_bytes()
    if damage is None:
        path.write_bytes(good[:-20] + bytes(20))
    else:
        path.write_bytes(damage)
    assert lines(service, long, from_=300_000, after=2)["Lines"] == first["Lines"]
    assert lines(service, long, from_=-1)["Total"] == 600_001
    assert path.read_bytes() == good


def test_many_readers_make_it_together(service, long):
    index_of(service, long).unlink(missing_ok=True)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(
            pool.map(lambda n: lines(service, long, from_=n * 30_000, after=0), range(1, 17))
        )
    assert [each["Lines"][0]["Line"] for each in found] == [n * 30_000 for n in range(1, 17)]
    assert lines(service, long, from_=-1)["Total"] == 600_001


def test_a_live_job_has_more_and_more(service, gate: Gate):
    job = service.submit(f"printf 'one\\ntw'; read -r _ < {gate}; echo o; sleep 1000")
    until(lambda: service.show(job)["Output"]["Bytes"] == 6)
    found = lines(service, job)
    assert texts(found) == ["one", "tw"]
    assert (found["Lines"][1]["Partial"], found["Finished"]) == (True, False)
    gate.open()
    until(lambda: service.show(job)["Output"]["Bytes"] == 8)
    found = lines(service, job, at=-1, before=1)
    assert texts(found) == ["one", "two"]
    assert "Partial" not in found["Lines"][1]
    service.kill(job, grace=0, wait="true")
    assert lines(service, job)["Finished"] is True


def test_a_job_without_output_has_no_lines(service):
    job = service.run("true")["ID"]
    assert lines(service, job) == {
        "Lines": [], "Total": 0, "Begin": 0, "End": 0, "Size": 0, "Indexed": 0, "Sgr": "",
        "Gap": None, "Finished": True,
    }  # fmt: skip


def test_lines_on_both_sides_of_a_gap(service):
    view = service.run(
        {"CommandLine": "echo first; seq 100000 999999; echo last", "OutputLimit": 200_000}
    )
    job = view["ID"]
    (start, end) = view["Output"]["Gaps"][0]
    found = lines(service, job, at=start, before=1, after=1)
    assert found["Gap"] == [start, end]
    assert [line["Offset"] < start for line in found["Lines"]] == [True, False, False]
    numbers = [line["Line"] for line in found["Lines"]]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    last = lines(service, job, from_=-1)
    assert texts(last) == ["last"]
    assert last["Lines"][0]["Line"] == last["Total"]
    found = service.client.get(f"/{job}/output?grep=^last&format=ndjson&gaps=mark").text
    assert f'"Line":{last["Total"]}' in found


def test_the_index_goes_with_the_job(service):
    job = service.run("echo x")["ID"]
    lines(service, job)
    assert index_of(service, job).exists()
    assert service.client.post(f"/{job}/clean").status_code == 200
    until(lambda: not index_of(service, job).parent.exists())
    assert_problem(service.client.get(f"/{job}/lines"), 404)

"""The Python client reads a part of the output, searches it, and follows many jobs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import jobrunner
import pytest
from gates import Gate
from running import Service, again, running
from waiting import until

pytestmark = pytest.mark.e2e
WORKERS = 2


@pytest.fixture
def client(service: Service) -> Iterator[jobrunner.Client]:
    with jobrunner.Client(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def job_id(service: Service) -> str:
    """Of a hundred lines, half of them of each of two commands, and one on stderr."""
    commands = [
        {"CommandLine": "seq -f 'line %g' 1 50"},
        {"CommandLine": "seq -f 'line %g' 51 100; echo 'an ERROR' >&2"},
    ]
    with jobrunner.Client(service.url) as client:
        return client.run({"Commands": commands}).job.id


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % n for n in range(first, last + 1))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"tail": 2}, b"line 100\nan ERROR\n"),
        ({"tail": 0}, b""),
        ({"tail": 1, "stream": "stdout"}, b"line 100\n"),
        ({"command": 0}, lines(1, 50)),
        ({"command": 1, "stream": "stderr"}, b"an ERROR\n"),
        ({"limit": 14}, lines(1, 2)),
        ({"offset": 7, "limit": 7}, b"line 2\n"),
        ({"since": "1h", "tail": None}, lines(1, 100) + b"an ERROR\n"),
        ({"until": 3600.5}, b""),
        ({"command": 1, "limit": 16}, lines(51, 52)),
    ],
)
@pytest.mark.parametrize("follow", [True, False])
def test_a_part_is_what_was_asked_for(client, job_id, selection, expected, follow):
    job = client.job(job_id)
    assert b"".join(job.stream(**selection, follow=follow)) == expected
    assert b"".join(record.data for record in job.records(**selection, follow=follow)) == expected
    assert list(job.lines(**selection, follow=follow)) == expected.splitlines()


def test_what_contradicts_itself_is_refused_before_anything_is_asked(client, job_id):
    with pytest.raises(ValueError, match="offset and tail"):
        client.job(job_id).stream(offset=3, tail=1)
    with pytest.raises(jobrunner.BadQuery, match="command"):
        list(client.job(job_id).stream(command=7))


def test_times_bound_a_live_stream(client, gate: Gate):
    job = client.submit({"CommandLine": f"echo one; read -r _ < {gate}; echo two; exec sleep 1000"})
    with job.lines() as output:
        assert next(output) == b"one"
        mark = time.time() + 0.02  # times of output are exact to 10 ms
        until(lambda: time.time() > mark + 0.02)
        gate.open()
        assert next(output) == b"two"
    assert list(job.lines(until=mark)) == [b"one"]
    assert list(job.lines(since=mark, follow=False)) == [b"two"]
    with job.lines(since=mark, until=time.time() + 0.1) as ending:
        assert list(ending) == [b"two"]
    job.kill(grace=0)


def test_the_end_of_a_live_log_is_followed_over_the_death_of_its_worker(tmp_path: Path, gate: Gate):
    with running(tmp_path / "jobrunner", workers=1) as service:
        with jobrunner.Client(service.url) as client:
            job = client.submit({"CommandLine": f"seq 1 9; read -r _ < {gate}; echo 10"})
            with job.records() as whole:
                read_to(whole, b"9\n")
            with job.stream(tail=2) as output, client.follow(name=None, lines=True) as told:
                assert next(output) == b"8\n9\n"
                assert [next(told).record.text for _ in range(9)][-1] == "9"
                os.kill(service.worker_pids()[-1], signal.SIGKILL)
                gate.open()
                assert list(output) == [b"10\n"]
                assert next(told).record.text == "10"
                assert next(told).record.exit_code == 0
                later = client.submit({"CommandLine": "echo later"})
                assert next(told).job_id == later.id
                end = next(told)
                assert (end.job_id, end.record.state) == (later.id, "exited")
            assert list(client.follow(after=end.cursor, follow=False)) == []


def read_to(records, ending: bytes) -> None:
    while not next(records).data.endswith(ending):
        pass


def test_many_jobs_are_told_as_far_as_they_are(client, gate: Gate):
    label = {"many": "now"}
    ended = client.run({"CommandLine": "echo a; echo b >&2; exit 4", "Labels": label}).job
    live = client.submit({"CommandLine": f"echo c; read -r _ < {gate}; echo d", "Labels": label})
    with live.stream() as output:
        next(output)
    told = list(client.follow(state="all", label=label, follow=False))
    pieces = [each for each in told if isinstance(each.record, jobrunner.Record)]
    assert {(each.job_id, each.record.stream, each.record.text) for each in pieces} == {
        (ended.id, "stdout", "a\n"),
        (ended.id, "stderr", "b\n"),
        (live.id, "stdout", "c\n"),
    }
    (end,) = (each for each in told if isinstance(each.record, jobrunner.End))
    assert (end.job_id, end.record.exit_code, end.record.bytes) == (ended.id, 4, 4)
    gate.open()
    live.wait()
    rest = list(client.follow(state="all", label=label, follow=False, after=told[-1].cursor))
    assert [getattr(each.record, "text", None) for each in rest] == ["d\n", None]


async def test_the_asynchronous_client_reads_parts_searches_and_follows(service, job_id):
    async with jobrunner.AsyncClient(service.url) as client:
        job = client.job(job_id)
        assert [line async for line in job.lines(tail=1)] == [b"an ERROR"]
        found = job.grep("^line 9", max=1)
        assert [match.text async for match in found] == ["line 9"]
        assert found.count == 11
        told = client.follow(state="all", follow=False)
        assert {each.job_id async for each in told} >= {job_id}


# ------------------------------------------------------------------------------------------- search


def test_a_search_tells_lines_and_how_many_there_are(client, job_id):
    job = client.job(job_id)
    found = job.grep("0$", stream="stdout", max=2)
    assert found.count is None
    assert [(match.line, match.text) for match in found] == [(10, "line 10"), (20, "line 20")]
    assert found.count == 10
    (error,) = job.grep("error", ignore_case=True)
    assert (error.stream, error.command, error.offset) == ("stderr", 1, len(lines(1, 100)))
    assert [m.text for m in job.grep("line", invert=True)] == ["an ERROR"]
    around = [(m.text, m.is_context) for m in job.grep("^line 42$", context=1)]
    assert around == [("line 41", True), ("line 42", False), ("line 43", True)]
    with pytest.raises(jobrunner.BadQuery, match="grep"):
        list(job.grep("("))


def test_the_place_of_a_search_says_where_it_begins(service: Service, client, job_id):
    assert [m.text for m in client.job(job_id).grep("line", tail=2)] == ["line 100"]
    answer = service.client.get(f"/{job_id}/output?grep=line&tail=2")
    assert answer.headers["jobrunner-offset"] == str(len(lines(1, 99)))


def test_a_search_goes_on_after_a_restart_of_the_service(tmp_path: Path):
    with running(tmp_path / "jobrunner") as service:
        with jobrunner.Client(service.url) as client:
            job = client.job(client.run("seq 1 300000").job.id)
            found = job.grep("7")
            begun = [next(found).text for _ in range(3)]
            service.stop()
            with again(service):
                texts = begun + [match.text for match in found]
            expected = [f"{n}" for n in range(1, 300001) if "7" in f"{n}"]
            assert (texts, found.count) == (expected, len(expected))

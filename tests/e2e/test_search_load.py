"""Searches that are many, that nobody waits for any more, and that nobody reads."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
from pathlib import Path

import httpx
import pytest
from leaks import descriptors
from running import Service, running
from waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.once]
WORKERS = 2

LINE = "a line of a log that says nothing of interest, as most of them do"
FUSE_S = 300


@pytest.fixture(scope="module")
def long(service: Service) -> str:
    """A finished job with some twenty megabytes."""
    view = service.run(f"yes '{LINE}' | head -n 300000; echo needle")
    assert view["ExitCode"] == 0
    return view["ID"]


def searchers(service: Service) -> set[int]:
    """The processes of the workers that search."""
    found = set()
    for worker in service.worker_pids():
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
            found |= {int(child) for child in children}
    return found


def opened(pids: set[int], job: str) -> int:
    """How often these have files of the job open."""
    count = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # a search that has ended
            count += sum(job in target for target in descriptors(pid).values())
    return count


def memory_mb(pids: set[int]) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_search_ends_with_its_client_and_one_that_isn_t_read_holds_nobody_up(service, long):
    with service.client.stream("GET", f"/{long}/output?grep=line") as stalled:
        assert next(stalled.iter_raw())
        assert opened(searchers(service), long) == 2
        assert service.client.get(f"/{long}/output?grep=needle").text == "needle\n"
        assert service.client.get("/").status_code == 200
    until(lambda: opened(searchers(service), long) == 0)


@pytest.mark.slow
def test_fifty_searches_at_once_are_answered_and_take_no_memory(service, long):
    workers = set(service.worker_pids())
    before = memory_mb(workers)

    def search(_: int) -> str:
        with httpx.Client(base_url=service.url, timeout=FUSE_S) as client:
            return client.get(f"/{long}/output", params={"grep": "need+le$"}).text

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        searches = [pool.submit(search, number) for number in range(50)]
        answered_meanwhile, peak = 0, 0.0
        while not all(each.done() for each in searches):
            assert service.client.get("/").status_code == 200
            answered_meanwhile += not all(each.done() for each in searches)
            peak = max(peak, memory_mb(searchers(service)))
    assert [each.result() for each in searches] == ["needle\n"] * 50
    assert answered_meanwhile  # who doesn't search doesn't wait for those who do
    assert len(searchers(service)) <= 4
    assert peak < 4 * 80
    assert memory_mb(workers) - before < 40


def test_a_gap_is_told_of_in_every_part_that_has_it(service):
    view = service.run(
        {
            "CommandLine": f"echo first; yes '{LINE}' | head -n 20000; echo last",
            "OutputLimit": 200_000,
        }
    )
    job, mark = view["ID"], "[jobrunner: "
    size = view["Output"]["Bytes"]

    def get(query: str) -> str:
        answer = service.client.get(f"/{job}/output?{query}")
        assert answer.status_code == 200, answer.text
        return answer.text

    assert get("tail=2") == f"{LINE}\nlast\n"
    tail = get("tail=1000000")
    assert tail.startswith("first\n")
    assert (tail.count(mark), tail.endswith("\nlast\n")) == (1, True)
    behind = get("tail=1000000&gaps=cut")
    assert (mark in behind, behind.endswith("\nlast\n"), len(behind) < size) == (False, True, True)
    found = get("grep=^first|^last")
    assert (found.startswith("first\n"), mark in found, found.endswith("last\n")) == (
        True,
        True,
        True,
    )
    assert (
        get("head=6&tail_bytes=5") == f"first\n[jobrunner: bytes 6 to {size - 5} left out]\nlast\n"
    )
    assert mark in get("since=1h&stream=stdout")
    with pytest.raises(httpx.RemoteProtocolError):
        service.client.get(f"/{job}/output?grep=.&gaps=cut")


def test_searches_that_wait_for_their_turn_are_readers_and_no_worker_compiles_a_pattern(state_dir):
    bound = {"JOBRUNNER_MAX_READERS": "1"}
    with (
        running(state_dir, environment=bound) as service,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        path = f"/{service.run('echo needle')['ID']}/output?grep="
        assert service.client.get(path + "(").status_code == 400
        (worker,) = service.worker_pids()
        assert "/re2/" not in Path(f"/proc/{worker}/maps").read_text()
        stopped = searchers(service)
        assert stopped
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        waiting = pool.submit(httpx.get, service.url + path + "needle", timeout=FUSE_S)
        try:
            until(lambda: 'readers{format="text"} 1' in service.client.get("/metrics").text)
            assert service.client.get(path + "needle").status_code == 503
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        assert waiting.result().text == "needle\n"

"""`/metrics`: the numbers of the whole service, whichever worker is asked and whichever has died."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from gates import Gate, attached
from running import RELOADABLE, Service, running
from watching import Watched

pytestmark = pytest.mark.e2e
WORKERS = 2

# Connections, each made anew: the kernel gives each to any worker.
ASKED = 12
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}")


def numbers(service: Service) -> dict[str, float]:
    """The series with their labels, without the service's name."""
    answer = httpx.get(f"{service.url}/metrics", timeout=60)
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    pairs = [line.removeprefix("jobrunner_").rpartition(" ") for line in lines]
    return {name: float(number) for name, _, number in pairs}


def requests(seen: dict[str, float], method: str, route: str, status: int) -> float:
    labels = f'method="{method}",route="{route}",status="{status}"'
    return seen.get(f"request_duration_seconds_count{{{labels}}}", 0)


def assert_no_counter_fell(before: dict[str, float], after: dict[str, float]) -> None:
    counters = [name for name in before if re.search(r"_(total|count|bucket|sum)(\{|$)", name)]
    assert counters
    assert [name for name in counters if after.get(name, -1.0) < before[name]] == []


def each_on_its_own(service: Service, path: str, count: int = ASKED) -> None:
    for _ in range(count):
        httpx.get(service.url + path, timeout=60)


@pytest.mark.parametrize("flags", [("--workers", "1"), ("--single-process",)])
def test_what_happens_to_jobs_is_counted(state_dir: Path, gate: Gate, flags: tuple[str, ...]):
    with running(state_dir, *flags) as service:
        service.run("echo 12345; exit 3")
        stubborn = service.submit(f"trap '' TERM; echo ready; read -r _ < {gate}")
        with attached(service, stubborn) as lines:
            assert next(lines) == "ready"
        service.kill(stubborn, grace=0.05, wait="true")
        service.run({"CommandLine": "sleep 600", "Timeout": 0.05})
        live = service.submit(f"echo ready; read -r _ < {gate}")
        with attached(service, live) as lines:
            assert next(lines) == "ready"
            seen = numbers(service)
            assert seen['attached_readers{format="text"}'] == 1
        gate.open()
        service.wait(live)

    assert [seen[f'jobs{{state="{s}"}}'] for s in ("pending", "running", "exited", "killed")] == [
        0,
        1,
        1,
        2,
    ]
    assert seen["jobs_submitted_total"] == 4
    assert seen["queue_wait_seconds_count"] == 4
    assert seen['jobs_finished_total{state="exited"}'] == 1
    assert seen['job_duration_seconds_count{state="killed"}'] == 2
    assert seen['job_duration_seconds_sum{state="killed"}'] >= 0.1
    assert seen["output_bytes_total"] == len("12345\nready\n")
    assert seen['kills_total{reason="requested"}'] == 1
    assert seen['kills_total{reason="timeout"}'] == 1
    assert seen["kill_escalations_total"] == 1
    assert requests(seen, "POST", "/", 201) == 4
    assert requests(seen, "DELETE", "/{ID}", 200) == 1
    assert requests(seen, "GET", "/{ID}/attach", 200) == 1  # the other one goes on
    assert not (state_dir / "metrics").is_symlink()


def test_no_label_names_a_job_a_path_or_what_was_asked_for(service: Service):
    view = service.run({"CommandLine": "echo x", "Name": "nightly", "Labels": {"team": "db"}})
    for path in ("/no/such/route", "/?name=nightly", f"/{view['ID']}", "/x%20y/attach", "/%FF"):
        service.client.get(path)
    service.client.request("BREW", "/")
    text = service.client.get("/metrics").text
    assert not UUID.search(text)
    assert not re.search("nightly|team|such|x y|BREW|%", text)
    labels = set(re.findall(r'(\w+)="', text))
    known = {"state", "reason", "method", "route", "status", "format", "direction", "le", "version"}
    assert labels == known


def test_every_request_is_counted_with_the_status_of_its_answer(service: Service):
    before = numbers(service)
    for method, path in (
        ("PUT", "/"),
        ("GET", "/no/such/route"),
        ("GET", "/none"),
        ("HEAD", "/"),
        ("GET", "/?limit=0"),
    ):
        service.client.request(method, path)
    after = numbers(service)
    for asked in (
        ("PUT", "none", 405),
        ("GET", "none", 404),
        ("GET", "/{ID}", 404),
        ("HEAD", "/", 200),
        ("GET", "/", 400),
    ):
        assert requests(after, *asked) - requests(before, *asked) == 1, asked


def test_whichever_worker_is_asked_it_tells_the_same(state_dir: Path):
    with running(state_dir, workers=3) as service:
        for _ in range(ASKED):
            answer = httpx.post(service.url, json={"CommandLine": "true"})
            service.wait(answer.json()["ID"])
        told = [numbers(service) for _ in range(ASKED)]
        assert {seen["jobs_submitted_total"] for seen in told} == {ASKED}
        assert {seen['jobs_finished_total{state="exited"}'] for seen in told} == {ASKED}
        assert {requests(seen, "POST", "/", 201) for seen in told} == {ASKED}
        for before, after in itertools.pairwise(told):
            assert_no_counter_fell(before, after)


def killed(service: Service) -> None:
    victim = service.worker_pids()[0]
    with Watched([victim]) as worker:
        os.kill(victim, signal.SIGKILL)
        worker.wait_gone()
    service.wait_for_line("worker_ready", 3)


def reloaded(service: Service) -> None:
    with Watched(service.worker_pids()) as workers:
        assert service.client.post("/restart-all").status_code == 200
        service.wait_for_line("worker_ready", 4)
        workers.wait_gone()


@pytest.mark.slow
@pytest.mark.parametrize("end", [killed, reloaded])
def test_no_counter_falls_and_no_reader_stays_when_workers_end(
    state_dir: Path, tmp_path: Path, gate: Gate, end: Callable[[Service], None]
):
    with running(state_dir, workers=2, **RELOADABLE) as service:
        service.run("echo one")
        each_on_its_own(service, "/health/live")
        live = service.submit(f"echo ready; read -r _ < {gate}; echo more", Connection="close")
        streams = [httpx.Client(base_url=service.url, timeout=60) for _ in range(4)]
        answers = [
            client.send(client.build_request("GET", f"/{live}/attach"), stream=True)
            for client in streams
        ]
        outputs = [answer.iter_raw() for answer in answers]  # kept: dropped, they are closed
        assert {next(output) for output in outputs} == {b"ready\n"}
        before = numbers(service)
        assert before['attached_readers{format="text"}'] == 4
        end(service)
        for client in streams:
            client.close()
        gate.open()
        service.wait(live)
        each_on_its_own(service, "/health/live")
        after = numbers(service)

    assert_no_counter_fell(before, after)
    # The end of the job was told to whoever owned it then, and stored once.
    assert after['jobs_finished_total{state="exited"}'] == 2
    assert after["queue_wait_seconds_count"] == 2
    assert after["output_bytes_total"] == len("one\nready\nmore\n")
    live_before, live_after = (requests(n, "GET", "/health/live", 200) for n in (before, after))
    assert (live_before, live_after) == (ASKED, 2 * ASKED)
    files = [line for line in service.lines if "metrics_not_shared" in line]
    assert files == []


def test_the_format_is_negotiated_and_head_has_no_body(service: Service):
    plain = service.client.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    headers = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    openmetrics = service.client.get("/metrics", headers=headers)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    head = service.client.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == plain.headers["content-type"]


def test_readers_are_counted_out_when_they_go(service: Service, gate: Gate):
    job_id = service.submit(f"echo ready; read -r _ < {gate}; echo more")
    with attached(service, job_id) as lines:
        assert next(lines) == "ready"
        assert numbers(service)['attached_readers{format="text"}'] == 1
        gate.open()
        assert list(lines) == ["more"]
    assert numbers(service)['attached_readers{format="text"}'] == 0


def test_a_service_that_was_killed_begins_anew(state_dir: Path):
    with running(state_dir) as first:
        first.run("true")
        left = (state_dir / "metrics").readlink()
        first.crash()
        assert left.exists()
        with running(state_dir) as second:
            assert not left.exists()
            seen = numbers(second)
            assert seen["jobs_submitted_total"] == 0
            assert seen['jobs{state="exited"}'] == 1

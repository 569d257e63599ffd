"""A service starts in each of Sanic's ways, stops, and starts again: what happens to jobs
meanwhile, and that every connection reaches every job, whichever worker it ends at.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from gates import Gate, attached, lines
from running import START_FUSE_S, Service, again, running
from watching import Watched, in_session

from service.client import Client

pytestmark = pytest.mark.e2e

CORES = len(os.sched_getaffinity(0))
MODES: dict[str, tuple[tuple[str, ...], int]] = {
    "one worker": (("--workers", "1"), 1),
    "three workers": (("--workers", "3"), 3),
    "single process": (("--single-process",), 1),
    "a worker for each core": (("--fast",), CORES),
    "development": (("--dev",), 1),
}


@pytest.fixture(scope="module", params=MODES)
def any_mode(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    flags, workers = MODES[request.param]
    with running(
        tmp_path_factory.mktemp("state") / "jobrunner", *flags, workers=workers
    ) as service:
        yield service
        assert service.stop() == 0


@contextmanager
def connections(service: Service, count: int) -> Iterator[list[httpx.Client]]:
    """So many clients, each on a connection of its own, which the kernel gives to any worker."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(httpx.Client(base_url=service.url, timeout=60, verify=False))  # noqa: S501 - it is plain HTTP, and loading certificates takes long
            for _ in range(count)
        ]


# Any number of workers


@pytest.mark.slow
def test_every_connection_reaches_every_job(any_mode: Service):
    with connections(any_mode, 12) as clients, ThreadPoolExecutor(12) as pool:
        ids = list(pool.map(lambda client: submit(client, "echo $((6 * 7)); exit 3"), clients))
        others = clients[5:] + clients[:5]

        def look(client: httpx.Client, job_id: str) -> tuple[Any, ...]:
            view = client.get(f"/{job_id}/wait").json()
            return (
                view["State"],
                view["ExitCode"],
                client.get(f"/{job_id}").json() == view,
                job_id in client.get("/", params={"state": "exited"}).json()["IDs"],
                client.get(f"/{job_id}/attach").content,
                client.delete(f"/{job_id}").json()["State"],
            )

        seen = list(pool.map(look, others, ids))
        cleaned = list(pool.map(lambda c, i: c.post(f"/{i}/clean").status_code, clients[3:], ids))
        gone = list(pool.map(lambda c, i: c.get(f"/{i}").status_code, clients, ids[: len(cleaned)]))

    assert set(seen) == {("exited", 3, True, True, b"42\n", "exited")}
    assert set(cleaned) == {200}
    assert set(gone) == {404}


def submit(client: httpx.Client, line: str) -> str:
    answer = client.post("/", json={"CommandLine": line})
    assert answer.status_code == 201
    job_id: str = answer.json()["ID"]
    return job_id


def test_every_connection_follows_a_live_job(any_mode: Service, gate: Gate):
    job_id = any_mode.submit(f"for i in 1 2 3; do echo line $i; read -r _ < {gate}; done")
    with connections(any_mode, 6) as clients, ExitStack() as stack:
        streams = [
            stack.enter_context(client.stream("GET", f"/{job_id}/attach")) for client in clients
        ]
        outputs = [stream.iter_lines() for stream in streams]
        for number in (1, 2, 3):
            assert {next(output) for output in outputs} == {f"line {number}"}
            gate.open()
        assert [list(output) for output in outputs] == [[]] * 6
    assert any_mode.show(job_id)["State"] == "exited"
    assert any_mode.output(job_id) == b"line 1\nline 2\nline 3\n"


def test_every_connection_waits_for_and_kills_every_job(any_mode: Service):
    with connections(any_mode, 8) as clients, ThreadPoolExecutor(16) as pool:
        ids = [submit(client, "echo $$; exec sleep 600") for client in clients]
        pids = [int(lines(any_mode, job_id, 1)[0]) for job_id in ids]
        waits = [
            pool.submit(httpx.get, f"{any_mode.url}/{job_id}/wait", timeout=60) for job_id in ids
        ]
        with Watched(pids) as processes:
            others = clients[3:] + clients[:3]
            answers = [
                c.delete(f"/{i}", params={"wait": "true"}) for c, i in zip(others, ids, strict=True)
            ]
            assert processes.alive() == []
    assert {answer.json()["State"] for answer in answers} == {"killed"}
    assert {wait.result().json()["Reason"] for wait in waits} == {"requested"}
    assert not set(ids) & set(any_mode.client.get("/").json()["IDs"])


# Stop, and start again


JOBRUNNER = (str(Path(sys.executable).with_name("jobrunner")), "serve")
MODULE = ("-m", "service", "serve")


@pytest.mark.parametrize("command", [JOBRUNNER, MODULE], ids=["jobrunner serve", "python -m"])
def test_finished_jobs_outlive_the_service(state_dir: Path, command: tuple[str, ...]):
    line = "head -c 300000 /dev/urandom; head -c 1000 /dev/urandom >&2; exit 9"
    with running(state_dir, "--single-process", command=command) as first:
        view = first.run({"CommandLine": line, "Name": "kept", "Labels": {"a": "b"}})
        job_id = view["ID"]
        outputs = [first.output(job_id, **query) for query in ({}, {"stream": "stderr"})]
        killed_id = first.submit("sleep 600")
        first.kill(killed_id, wait="true")
        killed = first.show(killed_id)
        assert first.stop() == 0

    with running(state_dir, "--single-process") as second:
        assert second.client.get("/").json() == {"IDs": [], "Total": 0}
        listed = second.client.get("/", params={"state": "all"}).json()["IDs"]
        assert listed == [job_id, killed_id]
        assert [second.show(i) for i in listed] == [view, killed]
        assert [second.output(job_id, **query) for query in ({}, {"stream": "stderr"})] == outputs
        assert len(outputs[0]) == 301_000
        assert second.client.get("/", params={"state": "all", "label": "a=b"}).json()["IDs"] == [
            job_id
        ]
        assert second.run("echo new")["ExitCode"] == 0


def interrupt(service: Service) -> None:
    """Ctrl-C: every process of the terminal's group gets it."""
    os.killpg(service.process.pid, signal.SIGINT)


def terminate(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("flags", "stop"),
    [
        (("--single-process",), interrupt),
        (("--workers", "2"), interrupt),
        (("--workers", "2"), terminate),
    ],
)
def test_stopping_service_ends_its_jobs_and_itself(
    state_dir: Path, gate: Gate, flags: tuple[str, ...], stop: Any
):
    # Longer than a trap takes on a busy machine; the stubborn one is killed after it.
    settings = {"JOBRUNNER_MAX_RUNNING": "3", "JOBRUNNER_SHUTDOWN_GRACE": "5"}
    with running(state_dir, *flags, environment=settings) as service:
        finished = service.run("echo done")
        obedient = service.submit(
            "trap 'echo bye; exit 0' TERM; echo $$; sleep 600 & echo $!; wait"
        )
        stubborn = service.submit(
            "trap '' TERM; (setsid bash -c 'echo $$; exec sleep 600' &); echo $$; exec sleep 600"
        )
        between = service.submit(
            {"Commands": [{"CommandLine": f"echo $$; read -r _ < {gate}"}] * 2}
        )
        pending = service.submit("echo at last")
        pids = [
            int(pid)
            for i, n in ((obedient, 2), (stubborn, 2), (between, 1))
            for pid in lines(service, i, n)
        ]
        with Watched([*pids, service.supervisor_pid()]) as processes, ExitStack() as stack:
            reader = stack.enter_context(service.client.stream("GET", f"/{stubborn}/attach"))
            stop(service)
            assert service.process.wait(300) == 0
            left = processes.alive()
            # A stream that was cut is never taken for one that ended.
            with pytest.raises(httpx.HTTPError):
                reader.read()
        assert left == []
        with socket.create_server(("127.0.0.1", service.port)):
            pass

    with running(state_dir, "--single-process") as after:
        views = [after.show(i) for i in (obedient, stubborn, between)]
        assert [(v["State"], v["Reason"]) for v in views] == [("killed", "shutdown")] * 3
        assert [v["ExitCode"] for v in views] == [0, None, None]
        assert [v["Signal"] for v in views] == [None, "SIGKILL", "SIGTERM"]
        assert [v["Kill"]["Escalated"] for v in views] == [False, True, False]
        assert all(v["Kill"]["VerifiedGone"] for v in views)
        assert [v["Output"]["Complete"] for v in views] == [True] * 3
        assert after.output(obedient).endswith(b"\nbye\n")
        assert [c["State"] for c in views[2]["Commands"]] == ["killed", "skipped"]
        assert after.wait(pending)["ExitCode"] == 0  # it waited for this service
        assert after.output(pending) == b"at last\n"
        assert after.show(finished["ID"]) == finished


def test_job_that_is_left_goes_on_and_is_finished_by_the_next_service(
    state_dir: Path, tmp_path: Path
):
    settings = {"JOBRUNNER_SHUTDOWN": "leave", "JOBRUNNER_MAX_RUNNING": "4"}
    job = "echo $$ >&2; echo before; read -r _ < {0}; echo after; exit {1}"
    with ExitStack() as stack:
        meanwhile, later, never = (Gate(tmp_path / name) for name in ("one", "two", "three"))
        for gate in (meanwhile, later, never):
            stack.callback(gate.close)
        first = stack.enter_context(running(state_dir, workers=2, environment=settings))
        ended = first.submit(job.format(meanwhile, 7))
        sequence = {"CommandLine": job.format(meanwhile, 0)}, {"CommandLine": "echo 2; exit 9"}
        halfway = first.submit({"Commands": sequence})
        going_on = first.submit(job.format(later, 8))
        killed = first.submit(job.format(never, 0))
        pending = first.submit("echo pending; exit 10")

        pids = [pid_of(first, i) for i in (ended, halfway, going_on, killed)]
        supervisor = first.supervisor_pid()
        with Watched(pids[:2]) as ending, Watched([*pids[2:], supervisor]) as staying:
            assert first.stop() == 0
            assert ending.alive() == pids[:2]
            # They end while no service is there, and nothing of them is lost.
            meanwhile.open(2)
            ending.wait_gone()
            assert staying.alive() == [*pids[2:], supervisor]

        second = stack.enter_context(running(state_dir, "--single-process", environment=settings))
        codes = [second.wait(job_id)["ExitCode"] for job_id in (ended, halfway, pending)]
        assert codes == [7, 9, 10]
        assert second.output(ended, stream="stdout") == b"before\nafter\n"
        assert second.output(halfway, stream="stdout") == b"before\nafter\n2\n"

        assert second.client.get("/").json()["IDs"] == [going_on, killed]
        with attached(second, going_on, stream="stdout") as output:
            assert next(output) == "before"
            later.open()
            assert list(output) == ["after"]
        assert second.show(going_on)["ExitCode"] == 8
        second.kill(killed, wait="true")
        view = second.show(killed)
        assert (view["State"], view["Reason"], view["Signal"]) == ("killed", "requested", "SIGTERM")


@pytest.mark.parametrize("flags", [("--workers", "2"), ("--single-process",)])
def test_a_start_that_fails_ends_no_job_that_was_left(
    state_dir: Path, gate: Gate, flags: tuple[str, ...]
):
    with running(state_dir, environment={"JOBRUNNER_SHUTDOWN": "leave"}) as first:
        job_id = first.submit(f"read -r _ < {gate}; exit 5")
        assert first.stop() == 0
        with socket.create_server(("127.0.0.1", 0)) as taken:
            refused = Service(state_dir, *flags, port=taken.getsockname()[1])
            refused.wait_for_line("Address already in use")
            assert refused.process.wait(300) != 0
            refused.client.close()
            refused.process.stdout.close()
        with again(first) as next_one:
            assert next_one.show(job_id)["State"] == "running"
            gate.open()
            assert next_one.wait(job_id)["ExitCode"] == 5


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_without_a_supervisor_ends_with_status_2_and_says_why(
    state_dir: Path, workers: int
):
    state_dir.mkdir()
    (state_dir / "supervisor.lock").mkdir()
    service = Service(state_dir, workers=workers)
    try:
        assert service.process.wait(START_FUSE_S) == 2
        with Watched(in_session(service.process.pid), some_ended=True) as others:
            others.wait_gone()
    finally:
        service.close()
    (said,) = [line for line in service.lines if line.startswith("jobrunner: ")]
    assert said == (f"jobrunner: the supervisor did not start; {state_dir}/supervisor.log says why")
    assert "IsADirectoryError" in (state_dir / "supervisor.log").read_text()
    assert not service.worker_pids()


def test_a_killed_main_process_leaves_none_of_the_others(state_dir: Path):
    """Neither its workers nor Sanic's helpers: they would hold the port, and its output's pipe."""
    service = Service(state_dir, workers=2)
    try:
        service.wait_ready()
        with Watched(in_session(service.process.pid), some_ended=True) as processes:
            assert len(processes.alive()) >= 4
            service.process.kill()
            try:
                processes.wait_gone()
            finally:
                processes.signal(signal.SIGKILL)
        with running(state_dir, port=service.port) as next_one:
            assert next_one.run("true")["ExitCode"] == 0
    finally:
        service.close()


def pid_of(service: Service, job_id: str) -> int:
    """The number that a job's process writes to its standard error."""
    with attached(service, job_id, stream="stderr") as output:
        return int(next(output))


def change_until_reloaded(service: Service, file: Path) -> None:
    """Sanic doesn't tell when it has first looked at the file, so what it missed is done again."""
    for wait_s in (5, 20, 60, 120):
        file.write_text(str(wait_s))
        with suppress(AssertionError):
            service.wait_for_line("worker_ready", 2, fuse_s=wait_s)
            return
    pytest.fail("no reload")


@pytest.mark.slow  # Sanic looks at files now and then
def test_reload_of_the_workers_leaves_jobs_running(state_dir: Path, tmp_path: Path, gate: Gate):
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "file.py").write_text("1")
    with running(state_dir, "--dev", "--reload-dir", str(watched)) as service:
        job_id = service.submit(f"echo $$; read -r _ < {gate}; echo after; exit 4")
        with Watched(int(pid) for pid in lines(service, job_id, 1)) as processes:
            change_until_reloaded(service, watched / "file.py")
            assert processes.alive()
            # Another reload may follow, of a change that came too late for the first.
            with Client(service.url) as client:
                job = client.job(job_id)
                assert job.show().state == "running"
                gate.open()
                assert job.wait().exit_code == 4
                assert b"".join(job.stream()).endswith(b"\nafter\n")


# While it starts


@pytest.mark.parametrize(
    ("line", "stop"), [("worker_starting", terminate), ("worker_ready", interrupt)]
)
def test_service_that_is_stopped_while_it_starts_stops(state_dir: Path, line: str, stop: Any):
    service = Service(state_dir, workers=2)
    try:
        workers = [re.search(r"pid\W+(\d+)", service.wait_for_line(line))]
        with Watched(int(match[1]) for match in workers if match) as processes:
            stop(service)
            assert service.process.wait(300) == 0
            processes.wait_gone()
        with socket.create_server(("127.0.0.1", service.port)):
            pass
    finally:
        service.close()


@pytest.mark.slow
def test_worker_that_dies_while_it_starts_is_replaced(state_dir: Path):
    service = Service(state_dir, workers=2)
    try:
        match = re.search(r"pid\W+(\d+)", service.wait_for_line("worker_starting"))
        assert match
        with Watched([int(match[1])]) as worker:
            worker.signal(signal.SIGKILL)
        service.wait_ready()
        assert service.run("true")["ExitCode"] == 0
        assert service.stop() == 0
    finally:
        service.close()

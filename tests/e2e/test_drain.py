"""A service that drains: asked to by an operator, or by a stop with JOBRUNNER_SHUTDOWN=drain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gates import Gate, lines
from running import RELOADABLE, Service, again, running
from waiting import until
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@contextmanager
def command(state_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command in the foreground of a shell; it ends with the block, whatever fails there."""
    # Tests that a script runs in its background ignore SIGINT, and so would what they start.
    foreground = ["env", "--default-signal=INT", sys.executable, "-m", "service"]
    with subprocess.Popen(
        [*foreground, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JOBRUNNER_STATE_DIR": str(state_dir)},  # noqa: TID251 - an operator's shell
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(state_dir: Path, *arguments: str) -> tuple[int, str]:
    """The exit status of a command, and what it said."""
    with command(state_dir, *arguments) as process:
        out, err = process.communicate()
        return process.returncode, out + err


def refusals(service: Service, count: int = 8) -> set[tuple[int, str, str]]:
    """What submissions over as many connections are told, so that every worker is asked."""
    found = set()
    for _ in range(count):
        with httpx.Client(base_url=service.url, timeout=60) as client:
            answer = client.post("/", json={"CommandLine": "true"})
            found.add(
                (answer.status_code, answer.json()["type"], answer.headers.get("Retry-After", ""))
            )
    return found


def assert_told_that_it_drains(service: Service) -> None:
    assert refusals(service) == REFUSED
    answer = service.client.get("/health/ready")
    assert answer.status_code == 503
    assert "`jobrunner resume` ends that" in answer.json()["checks"]["drain"]["Why"]
    assert "jobrunner_draining 1.0" in service.client.get("/metrics").text
    assert "The service drains" in said(service.state_dir, "doctor")[1]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "other")
    yield gate
    gate.close()


REFUSED = {(503, "urn:jobrunner:problem:draining", "30")}


def test_a_drain_holds_for_every_worker_until_it_is_taken_back(
    state_dir: Path, gate: Gate, other: Gate
):
    environment = {**RELOADABLE["environment"], "JOBRUNNER_MAX_RUNNING": "2"}
    options = {"command": RELOADABLE["command"], "environment": environment, "workers": 2}
    with running(state_dir, **options) as service:
        first, last = f"echo $$; read -r _ < {gate}", "echo the last one"
        sequence = service.submit({"Commands": [{"CommandLine": first}, {"CommandLine": last}]})
        long = service.submit(f"echo $$; read -r _ < {other}; exit 3")
        for job_id in (sequence, long):
            lines(service, job_id, 1)
        key = {"Idempotency-Key": "once"}
        pending = service.client.post("/", json={"CommandLine": "exit 4"}, headers=key).json()["ID"]

        status, text = said(state_dir, "drain")
        assert status == 0
        assert "2 jobs run and will finish, 1 are pending and wait" in text
        assert_told_that_it_drains(service)
        # A repeat starts nothing.
        repeat = service.client.post("/", json={"CommandLine": "exit 4"}, headers=key)
        assert (repeat.status_code, repeat.json()["ID"]) == (200, pending)
        assert said(state_dir, "drain", "--wait", "--timeout", "0.1")[0] == 124

        # Over the death of a worker, and a reload of all.
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        service.wait_for_line("worker_ready", 3)
        assert service.client.post("/restart-all").status_code == 200
        service.wait_for_line("worker_ready", 5)
        assert refusals(service) == REFUSED

        with command(state_dir, "drain", "--wait") as waiting:
            assert waiting.stdout is not None
            waiting.stdout.readline()
            gate.open()
            assert service.wait(sequence)["ExitCode"] == 0
            assert service.output(sequence).endswith(b"\nthe last one\n")
            assert waiting.poll() is None  # one runs
            other.open()
            assert waiting.wait() == 0
            assert waiting.stdout.read() == "No job runs any more; 1 are pending.\n"
        assert service.show(long)["ExitCode"] == 3
        assert service.show(pending)["State"] == "pending"

        assert said(state_dir, "resume") == (0, "The service takes jobs again.\n")
        assert service.wait(pending)["ExitCode"] == 4
        assert service.client.get("/health/ready").status_code == 200
        assert "jobrunner_draining 0.0" in service.client.get("/metrics").text
        assert said(state_dir, "resume") == (0, "The service didn't drain.\n")


def test_a_drain_outlives_a_crash_of_the_service_and_ends_with_a_stop(state_dir: Path):
    with running(state_dir) as service:
        assert said(state_dir, "drain", "--wait")[0] == 0
        service.crash()
        successor = Service(state_dir, port=service.port)
        try:
            successor.wait_for_line("worker_ready")
            assert refusals(successor, 1) == REFUSED
            assert successor.stop() == 0
        finally:
            successor.close()
        with again(service) as last:
            assert last.run("true")["ExitCode"] == 0


def test_who_waits_for_a_drain_hears_of_its_end_and_of_a_missing_service(
    state_dir: Path, gate: Gate
):
    with running(state_dir) as service:
        job_id = service.submit(f"echo begun; read -r _ < {gate}")
        lines(service, job_id, 1)
        with command(state_dir, "drain", "--wait") as waiting:
            assert waiting.stdout is not None
            waiting.stdout.readline()
            until(lambda: service.client.get("/health/ready").status_code == 503)
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait() == 130
        assert refusals(service, 1) == REFUSED
        gate.open()
        service.wait(job_id)
    status, text = said(state_dir, "drain")
    assert status == 1
    assert text.startswith("jobrunner: no supervisor responds")
    assert said(state_dir, "drain", "--timeout", "3")[0] == 2


@pytest.mark.parametrize("flags", [("--workers", "2"), ("--single-process",)])
def test_a_stop_that_drains_lets_jobs_finish_and_pending_ones_wait_for_the_next_start(
    state_dir: Path, gate: Gate, flags: tuple[str, ...]
):
    environment = {"JOBRUNNER_SHUTDOWN": "drain", "JOBRUNNER_MAX_RUNNING": "1"}
    with running(state_dir, *flags, environment=environment) as service:
        job_id = service.submit(f"echo begun; read -r _ < {gate}; exit 6")
        lines(service, job_id, 1)
        pending = service.submit("exit 7")
        with service.client.stream("GET", f"/{job_id}/attach") as output:
            service.process.send_signal(signal.SIGTERM)
            service.wait_for_line("draining")
            assert refusals(service, 2) == REFUSED
            assert service.show(pending)["State"] == "pending"
            gate.open()
            assert output.read() == b"begun\n"  # whole: it is still served
        assert service.process.wait(300) == 0
        with again(service) as successor:
            view = successor.show(job_id)
            assert (view["State"], view["ExitCode"]) == ("exited", 6)
            assert successor.wait(pending)["ExitCode"] == 7


@pytest.mark.parametrize(
    ("how", "flags"),
    [
        ("second signal", ("--workers", "2")),
        ("bound", ("--workers", "2")),
        ("kill", ("--workers", "2")),  # as systemd does after TimeoutStopSec
        ("bound", ("--single-process",)),
    ],
)
def test_a_stop_that_drains_leaves_what_runs_after_a_bound_or_a_second_signal(
    state_dir: Path, gate: Gate, how: str, flags: tuple[str, ...]
):
    environment = {
        "JOBRUNNER_SHUTDOWN": "drain",
        "JOBRUNNER_SHUTDOWN_TIMEOUT": "1" if how == "bound" else "0",
    }
    with running(state_dir, *flags, environment=environment) as service:
        job_id = service.submit(f"echo $$; read -r _ < {gate}; exit 8")
        with Watched([int(lines(service, job_id, 1)[0])]) as process:
            service.process.send_signal(signal.SIGTERM)
            service.wait_for_line("draining")
            if how == "second signal":
                service.process.send_signal(signal.SIGTERM)
            if how == "kill":
                service.crash()
            assert service.process.wait(300) == (-signal.SIGKILL if how == "kill" else 0)
            assert process.alive()
        with again(service) as successor:
            assert successor.run("true")["ExitCode"] == 0  # the drain is over
            assert successor.show(job_id)["State"] == "running"
            gate.open()
            assert successor.wait(job_id)["ExitCode"] == 8

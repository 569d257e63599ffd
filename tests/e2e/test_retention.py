"""Finished jobs are cleaned, and only those; who reads one reads on."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gates import Gate, attached, lines
from running import Service, running

pytestmark = pytest.mark.e2e

LONG_AGO = 1_000_000_000  # nanoseconds: a second after 1970 began
# Bytes: more than the sockets between a job and a client that reads nothing keep.
MANY = 64 << 20


def end_long_ago(service: Service, *job_ids: str) -> None:
    """Have the records say that these jobs ended long ago, the first of them first."""
    with closing(sqlite3.connect(service.state_dir / "jobs.db", timeout=20)) as db, db:
        for number, job_id in enumerate(job_ids):
            db.execute("UPDATE jobs SET finished_at = ? WHERE id = ?", (LONG_AGO + number, job_id))


def wait_retired(service: Service, jobs: int) -> None:
    """Return once that many are gone: each pass of each worker says how many it has cleaned."""
    gone = passes = 0
    while gone < jobs:
        passes += 1
        line = service.wait_for_line("jobs_retired", passes)
        gone += int(line.rpartition("jobs=")[2])
    assert gone == jobs


def status_of(service: Service, job_id: str) -> int:
    return service.client.get(f"/{job_id}").status_code


def test_the_end_of_a_job_cleans_the_oldest_and_no_live_one(state_dir: Path, tmp_path: Path):
    gate = Gate(tmp_path / "gate")
    environment = {"JOBRUNNER_RETAIN_JOBS": "2"}
    with running(state_dir, workers=2, environment=environment) as service:
        live = service.submit(f"echo ready; read -r _ < {gate}")
        assert lines(service, live, 1) == ["ready"]
        old = [service.run("echo old")["ID"] for _ in range(3)]
        end_long_ago(service, *old)
        young = service.run("echo young")["ID"]
        wait_retired(service, 2)
        assert [status_of(service, job_id) for job_id in old] == [404, 404, 200]
        assert status_of(service, young) == 200
        assert status_of(service, live) == 200
        gate.open()
        assert service.wait(live)["ExitCode"] == 0
    gate.close()


def test_a_restart_cleans_what_became_due_meanwhile(state_dir: Path):
    with running(state_dir) as service:
        old = service.run("echo old > left.txt")["ID"]
        young = service.run("true")["ID"]
        end_long_ago(service, old)
    with running(state_dir, environment={"JOBRUNNER_RETAIN_AGE": "86400"}) as service:
        wait_retired(service, 1)
        assert [status_of(service, job_id) for job_id in (old, young)] == [404, 200]
        # Finished when this engine hands over: what was begun is ended before.
        service.stop()
    assert not any((state_dir / name / old).exists() for name in ("jobs", "logs"))


def test_a_reader_in_the_middle_of_a_replay_finishes_it(state_dir: Path):
    with running(state_dir, environment={"JOBRUNNER_RETAIN_BYTES": "4096"}) as service:
        job_id = service.submit(f"head -c {MANY} /dev/zero")
        service.wait(job_id)
        with service.client.stream("GET", f"/{job_id}/attach") as answer:
            assert answer.headers["Content-Length"] == str(MANY)
            chunks = answer.iter_raw()
            received = len(next(chunks))
            end_long_ago(service, job_id)
            other = service.run("true")["ID"]
            wait_retired(service, 1)
            assert status_of(service, job_id) == 404
            assert service.client.get(f"/{job_id}/attach").status_code == 404
            received += sum(map(len, chunks))
        assert received == MANY
        assert status_of(service, other) == 200


def test_a_reader_that_followed_live_and_lags_finishes_too(state_dir: Path, tmp_path: Path):
    gate = Gate(tmp_path / "gate")
    with running(state_dir, environment={"JOBRUNNER_RETAIN_JOBS": "1"}) as service:
        line = "x" * 1023
        command = f"echo ready; read -r _ < {gate}; yes {line} | head -c {MANY}"
        job_id = service.submit(command)
        with attached(service, job_id) as output:
            assert next(output) == "ready"
            gate.open()
            service.wait(job_id)
            end_long_ago(service, job_id)
            service.run("true")
            wait_retired(service, 1)
            assert status_of(service, job_id) == 404
            assert sum(received == line for received in output) == MANY // 1024
    gate.close()


def test_a_service_with_nothing_due_writes_nothing(state_dir: Path):
    with running(state_dir) as service:
        service.run("true")
        assert service.client.get("/health/ready").status_code == 200
        assert os.listdir(state_dir / "jobs")
        assert not [line for line in service.lines if "retire" in line or "retention" in line]

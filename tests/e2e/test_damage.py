"""A record that can't be read is one lost job with a reason: it stops nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3

import pytest
from gates import Gate, lines
from running import again, running
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# What no release wrote into these columns; those that aren't named take a damaged value of theirs.
DAMAGE = {
    "id": b"\xff\x00",
    "state": "of a newer release",
    "name": b"\xff",
    "reason": "no reason",
    "exit_code": "seven",
    "signal": b"\xff",
    "error": b"\xff",
    "created_at": "yesterday",
    "started_at": -5,
    "finished_at": "tomorrow",
    "dispatched": 99,
    "output_bytes": "many",
    "output_complete": "perhaps",
    "labels": "[",
    "principal": b"\xff",
    "max_running": "some",
    "kill": '{"reason": "boredom"}',
    "commands": '[{"state": "of a newer release"}]',
    "spec": '{"Commands": [{"Kind": "of a newer release"}]}',
}


def damage(state_dir, job_id, column, value):
    table, key = ("specs", "seq") if column == "spec" else ("jobs", "seq")
    with contextlib.closing(sqlite3.connect(state_dir / "jobs.db")) as db:
        (seq,) = db.execute("SELECT seq FROM jobs WHERE id = ?", (job_id,)).fetchone()
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, seq))
        db.commit()
    return seq


def seen(service, seq_or_id):
    """The view of a job of a list; by its name, as an ID may be what was damaged."""
    answer = service.client.get("/", params={"state": "all", "view": "full"})
    assert answer.status_code == 200, answer.text
    return {job["ID"]: job for job in answer.json()["Jobs"]}


def by_utf8(column):
    return f"CAST(x'ff41' AS TEXT) /* {column} */"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A service that starts on records each of which has one damaged column, and a good one."""
    directory = tmp_path_factory.mktemp("damage")
    with running(directory / "jobrunner", environment={"JOBRUNNER_MAX_RUNNING": "100"}) as service:
        ids = {}
        gate = Gate(directory / "gate")
        for column in (*DAMAGE, "text", "no spec", "good"):
            ids[column] = service.submit(
                {"CommandLine": f"echo ready; read -r _ < {gate}; echo on", "Name": column}
            )
            assert lines(service, ids[column], 1) == ["ready"]
        supervisor = service.supervisor_pid()
        with Watched([supervisor]) as watched:
            service.crash()
            os.kill(supervisor, signal.SIGKILL)
            watched.wait_gone()
        seqs = {
            column: damage(service.state_dir, ids[column], column, value)
            for column, value in DAMAGE.items()
        }
        with contextlib.closing(sqlite3.connect(service.state_dir / "jobs.db")) as db:
            db.execute("UPDATE jobs SET error = CAST(x'ff41' AS TEXT) WHERE id = ?", (ids["text"],))
            db.execute(
                "DELETE FROM specs WHERE seq = (SELECT seq FROM jobs WHERE id = ?)",
                (ids["no spec"],),
            )
            db.commit()
        ids["id"] = f"00000000-0000-0000-0000-{seqs['id']:012x}"
        with again(service) as successor:
            yield successor, ids
        gate.close()


@pytest.mark.parametrize("column", [*DAMAGE, "text", "no spec"])
def test_a_damaged_column_of_a_live_job_is_one_lost_job_that_says_so(damaged, column):
    service, ids = damaged
    view = service.wait(ids[column])
    assert (view["State"], view["Reason"]) == ("killed", "lost"), view
    assert {"text": "error", "no spec": "spec"}.get(column, column) in view["Error"]
    assert "can't be read" in view["Error"]


def test_recovery_goes_on_behind_them(damaged):
    service, ids = damaged
    view = service.wait(ids["good"])
    assert (view["State"], view["Reason"], view["Error"]) == ("killed", "lost", None)
    assert service.run("echo fine")["ExitCode"] == 0


def test_lists_show_each_of_them(damaged):
    service, ids = damaged
    for column in ids:
        service.wait(ids[column])
    answer = service.client.get("/", params={"state": "all", "view": "full"})
    assert answer.status_code == 200
    assert set(ids.values()) <= {job["ID"] for job in answer.json()["Jobs"]}


def test_readiness_and_the_log_tell(damaged):
    service, ids = damaged
    for column in ids:
        service.wait(ids[column])
    answer = service.client.get("/health/ready")
    assert answer.status_code == 200
    assert f"{len(DAMAGE) + 2} jobs" in answer.json()["Checks"]["records"]["Why"], answer.text
    assert len([line for line in service.lines if "job_lost" in line]) == len(DAMAGE) + 2


def test_they_can_be_cleaned(damaged):
    service, ids = damaged
    for column in DAMAGE:
        service.wait(ids[column])
        assert service.client.post(f"/{ids[column]}/clean").status_code == 200
        assert service.client.get(f"/{ids[column]}").status_code == 404


@pytest.mark.parametrize("column", [*DAMAGE])
def test_damage_of_a_job_that_runs_spoils_no_list_and_no_other_job(service, tmp_path, column):
    """Its worker knows it, and may set it right with the next change; it ends, one way or other."""
    gate = Gate(tmp_path / "gate")
    job_id = service.submit(f"echo ready; read -r _ < {gate}; echo on")
    assert lines(service, job_id, 1) == ["ready"]
    seq = damage(service.state_dir, job_id, column, DAMAGE[column])
    for path in ("/?state=all&view=full", "/?view=full", "/?state=all", "/health/ready"):
        assert service.client.get(path).status_code == 200, path
    gate.open()
    if column == "id":
        job_id = f"00000000-0000-0000-0000-{seq:012x}"
    assert service.run("echo fine")["ExitCode"] == 0
    if column != "id":
        assert service.wait(job_id)["State"] in ("exited", "killed")
    assert service.client.get("/?state=all&view=full").status_code == 200
    gate.close()


def test_a_damaged_job_whose_worker_dies_is_ended_by_the_next(tmp_path):
    columns = ("spec", "commands", "dispatched") * 3
    settings = {"JOBRUNNER_MAX_RUNNING": str(len(columns))}
    with running(tmp_path / "jobrunner", workers=2, environment=settings) as service:
        ids = [service.submit("echo ready; exec sleep infinity") for _ in columns]
        for job_id, column in zip(ids, columns, strict=True):
            lines(service, job_id, 1)
            damage(service.state_dir, job_id, column, DAMAGE[column])
        for pid in service.worker_pids():
            with Watched([pid]) as worker:
                worker.signal(signal.SIGKILL)
                worker.wait_gone()
        service.wait_for_line("worker_ready", 4)
        for job_id in ids:
            view = service.wait(job_id)
            assert (view["State"], view["Reason"]) == ("killed", "lost")
            assert "can't be read" in view["Error"]
        assert service.run("echo fine")["ExitCode"] == 0

"""Processes of the service that are stopped: taken for dead by those who need them, and told of."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading

import httpx
import pytest
from gates import Gate, lines
from running import Service, again, running
from waiting import until
from watching import Watched, in_session, of_jobs

# Each waits for a silence to be noticed, or longer.
pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Seconds: a fuse for what follows from a silence that is noticed within fifteen.
_FUSE_S = 300.0


@contextlib.contextmanager
def stopped(*pids):
    with Watched(pids) as processes:
        processes.signal(signal.SIGSTOP)
        try:
            yield processes
        finally:
            processes.signal(signal.SIGCONT)


def readiness(service):
    with httpx.Client(base_url=service.url, timeout=60) as client:
        return client.get("/health/ready")


def wait_unready(service, what):
    """Why, once readiness says that it isn't well."""

    def why():
        answer = readiness(service)
        if answer.status_code == 503:
            found.append(answer.json()["checks"][what]["Why"])
        return found and found[-1]

    found = []
    until(why)
    return found[-1]


def submit_all(service, gate, count=8):
    """Jobs of all workers, each of which waits at the gate."""
    ids = [
        service.client.post(
            "/",
            json={"CommandLine": f"echo ready; read -r _ < {gate}; echo on"},
            headers={"Connection": "close"},
        ).json()["ID"]
        for _ in range(count)
    ]
    for job_id in ids:
        assert lines(service, job_id, 1) == ["ready"]
    return ids


def test_a_stopped_worker_is_replaced_and_others_drive_its_jobs(state_dir, tmp_path):
    gate = Gate(tmp_path / "gate")
    environment = {"JOBRUNNER_MAX_RUNNING": "8"}
    with running(state_dir, workers=2, environment=environment) as service:
        ids = submit_all(service, gate)
        worker = service.worker_pids()[0]
        with Watched([worker]) as watched, httpx.Client(base_url=service.url, timeout=90) as client:
            watched.signal(signal.SIGSTOP)
            gate.open(len(ids))
            watched.wait_gone()
            for job_id in ids:
                view = client.get(f"/{job_id}/wait").json()
                assert (view["State"], view["ExitCode"]) == ("exited", 0)
            # The slots are free again.
            more = client.post("/", json={"CommandLine": "true"}).json()["ID"]
            assert client.get(f"/{more}/wait").json()["ExitCode"] == 0
        service.wait_for_line("worker_silent")
        service.wait_for_line("worker_ready", 3)
    gate.close()


def test_a_stream_ends_only_when_its_job_is_final(state_dir, tmp_path):
    """The log of a job is finished by the supervisor, its record by a worker, which is stopped."""
    gate = Gate(tmp_path / "gate")
    with running(state_dir, workers=2, environment={"JOBRUNNER_MAX_RUNNING": "8"}) as service:
        ids = submit_all(service, gate)
        with stopped(service.worker_pids()[0]):
            gate.open(len(ids))
            with httpx.Client(base_url=service.url, timeout=_FUSE_S) as client:
                for job_id in ids:
                    assert client.get(f"/{job_id}/attach").content == b"ready\non\n"
                    assert client.get(f"/{job_id}").json()["State"] == "exited"
    gate.close()


def test_a_worker_that_wakes_finds_itself_fenced(state_dir, tmp_path):
    """Main is stopped as well, so that nobody ends it meanwhile; the supervisor notices."""
    gate = Gate(tmp_path / "gate")
    environment = {"JOBRUNNER_MAX_RUNNING": "9"}
    with running(state_dir, workers=2, environment=environment) as service:
        ids = submit_all(service, gate)
        worker, other = service.worker_pids()
        with stopped(service.process.pid):
            with stopped(worker):
                until(lambda: "worker_silent" in (state_dir / "supervisor.log").read_text())
                gate.open(len(ids))
                with httpx.Client(base_url=service.url, timeout=90) as client:
                    views = {job_id: client.get(f"/{job_id}/wait").json() for job_id in ids}
            assert all(view["ExitCode"] == 0 for view in views.values()), views
            # Lost once by its own account, when it finds its connection closed.
            service.wait_for_line("supervisor_lost")
            service.wait_for_line("supervisor_connected", 3)
            for job_id in ids:
                assert service.show(job_id) == views[job_id]
            for _ in range(8):  # answered by both
                with httpx.Client(base_url=service.url, timeout=30) as client:
                    job_id = client.post("/", json={"CommandLine": "true"}).json()["ID"]
                    assert client.get(f"/{job_id}/wait").json()["ExitCode"] == 0
        with Watched([other, worker]) as watched:
            assert watched.alive()
    gate.close()


def test_readiness_tells_that_main_is_silent_and_that_it_lives_again(state_dir):
    with running(state_dir, workers=1) as service:
        with stopped(service.process.pid):
            assert "silent" in wait_unready(service, "main")
            # What a job needs is there.
            assert service.run("true")["ExitCode"] == 0
        until(lambda: readiness(service).status_code == 200)
        assert "worker_silent" not in "\n".join(service.lines)


def test_main_that_was_stopped_for_long_judges_nobody(state_dir):
    with running(state_dir, workers=2) as service:
        pids = [service.process.pid, *service.worker_pids()]
        with stopped(*pids):
            threading.Event().wait(16)  # longer than a silence that counts
        until(lambda: readiness(service).status_code == 200)
        threading.Event().wait(5)  # some looks of the watchdog
        with Watched(pids) as processes:
            assert processes.alive() == pids
        assert "worker_silent" not in (state_dir / "supervisor.log").read_text()


def test_a_submission_that_got_503_from_a_stopped_supervisor_never_runs(state_dir, tmp_path):
    ran = tmp_path / "ran"
    with running(state_dir) as service:
        kept_id = service.submit("echo ready; exec sleep infinity")
        assert lines(service, kept_id, 1) == ["ready"]
        with stopped(service.supervisor_pid()):
            for _ in range(3):
                answer = service.client.post("/", json={"CommandLine": f"echo ran >> {ran}"})
                assert answer.status_code == 503, answer.text
                assert answer.headers["Retry-After"]
            assert "doesn't answer" in wait_unready(service, "supervisor")
            assert service.client.delete(f"/{kept_id}").status_code == 503
        until(lambda: readiness(service).status_code == 200)
        # It was recorded as asked for, and is carried out.
        view = service.wait(kept_id)
        assert (view["State"], view["Reason"]) == ("killed", "requested")
        assert service.run("true")["ExitCode"] == 0
        assert not ran.exists()
        with contextlib.closing(sqlite3.connect(state_dir / "jobs.db")) as db:
            assert db.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
        # Nothing waits in the supervisor's register for an owner.
        environment = service.client.get("/metrics").text
        assert 'jobrunner_jobs{state="pending"} 0' in environment


def test_a_stopped_supervisor_is_woken_and_its_jobs_go_on(state_dir, tmp_path):
    """Nobody asks the service for anything meanwhile: its workers notice."""
    gate = Gate(tmp_path / "gate")
    with running(state_dir, workers=2) as service:
        ids = submit_all(service, gate, 2)
        with Watched([service.supervisor_pid()]) as supervisor:
            supervisor.signal(signal.SIGSTOP)
            service.wait_for_line("supervisor_awake")
        gate.open(len(ids))
        for job_id in ids:
            view = service.wait(job_id)
            assert (view["State"], view["ExitCode"]) == ("exited", 0)
        assert readiness(service).status_code == 200
        assert "supervisor_replaced" not in (state_dir / "supervisor.log").read_text()
    gate.close()


def test_a_kill_that_got_503_is_carried_out_by_whoever_comes(state_dir):
    """Its worker dies before the supervisor wakes; what the worker had sent is not relied on."""
    with running(state_dir) as service:
        job_id = service.submit("echo ready; exec sleep infinity")
        assert lines(service, job_id, 1) == ["ready"]
        service.crash()
        with contextlib.closing(sqlite3.connect(state_dir / "jobs.db")) as db:
            kill = '{"reason":"requested","requested_at":5,"signal":"SIGTERM","grace_s":10.0}'
            db.execute("UPDATE jobs SET kill = ? WHERE id = ?", (kill, job_id))
            db.commit()
        with again(service) as successor:
            view = successor.wait(job_id)
            assert (view["State"], view["Reason"]) == ("killed", "requested")


@pytest.mark.parametrize("who", ["worker", "all workers", "supervisor"])
def test_term_ends_the_service_within_a_bound_whatever_is_stopped(state_dir, who):
    environment = {"JOBRUNNER_SHUTDOWN_GRACE": "2"}
    with running(state_dir, workers=2, environment=environment) as service:
        job_id = service.submit("echo ready; exec sleep infinity")
        assert lines(service, job_id, 1) == ["ready"]
        workers = service.worker_pids()
        pids = {
            "worker": workers[:1],
            "all workers": workers,
            "supervisor": [service.supervisor_pid()],
        }[who]
        with stopped(*pids), Watched(in_session(service.process.pid), some_ended=True) as processes:
            # A supervisor that is stopped is woken for it.
            assert service.stop() == 0
            assert not of_jobs([job_id])
            processes.wait_gone()


def test_term_ends_a_start_that_hangs_within_a_bound(state_dir):
    """A worker that is stopped while it starts never tells the main process that it serves."""
    service = Service(state_dir, workers=2)
    with Watched([service.process.pid], some_ended=True) as main:
        line = service.wait_for_line("worker_starting")
        with stopped(int(line.rpartition("pid=")[2])):
            main.signal(signal.SIGTERM)
            main.wait_gone()
    service.close()

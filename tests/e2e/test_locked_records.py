"""Another process that keeps the records locked makes submissions fail, and nobody wait: the loops
serve all else, and what ended meanwhile is stored afterwards.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from answers import assert_problem
from gates import Gate
from running import Service, again, running
from waiting import until
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LIVE = ("pending", "running")  # its start may wait to be stored, too


@contextmanager
def locked(service: Service) -> Iterator[None]:
    with closing(sqlite3.connect(service.state_dir / "jobs.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def test_a_lock_stops_submissions_and_nothing_else(tmp_path):
    gate = Gate(tmp_path / "gate")
    with running(tmp_path / "state") as service:
        known = service.run("echo kept")["ID"]
        job_id = service.submit(f"read -r _ < {gate}; exit 3")
        killed = service.submit("exec sleep 1000")
        with locked(service):
            refusals = [threading.Thread(target=submit_in_vain, args=(service,)) for _ in range(20)]
            for refusal in refusals:
                refusal.start()
            gate.open()
            assert service.kill(killed, grace="0")["State"] in LIVE
            while any(refusal.is_alive() for refusal in refusals) or not is_unready(service):
                assert service.output(known) == b"kept\n"  # it waits for no lock
            assert service.show(job_id)["State"] in LIVE
        assert service.wait(job_id)["ExitCode"] == 3
        assert service.wait(killed)["Reason"] == "requested"
        assert service.run("echo again")["ExitCode"] == 0
        until(lambda: not is_unready(service))
    gate.close()


def submit_in_vain(service: Service) -> None:
    answer = service.client.post("/", json={"CommandLine": "true"})
    assert_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


def is_unready(service: Service) -> bool:
    answer = service.client.get("/health/ready")
    return answer.status_code == 503 and "locked" in answer.json()["checks"]["records"]["Why"]


def test_a_lock_that_passes_fails_no_submission(tmp_path):
    with running(tmp_path / "state") as service:

        def submit(_number: int) -> int:
            return service.client.post("/", json={"CommandLine": "true"}).status_code

        for requests in (5, 2, 0):  # on a busy machine a lock that lasts for some has not passed
            with ThreadPoolExecutor(20) as pool:
                with locked(service):
                    answers = pool.map(submit, range(20))
                    for _ in range(requests):  # later each of them was tried to be stored
                        service.client.get("/health/live")
                statuses = list(answers)
            if statuses == [201] * 20:
                return
        pytest.fail(f"refused: {statuses}")


def test_a_service_that_ends_while_the_records_are_locked_ends_its_jobs(tmp_path):
    with running(tmp_path / "state") as service:
        job_id = service.submit(f"echo $$ > {tmp_path}/pid; echo begun; exec sleep 1000")
        with service.client.stream("GET", f"/{job_id}/attach") as answer:
            next(answer.iter_raw())
        job = int((tmp_path / "pid").read_text())
        with Watched([job]) as processes, locked(service):
            assert service.stop() == 1
            processes.wait_gone()
        service.wait_for_line("jobs may go on, or their ends aren't stored yet: Another process")
        with again(service) as successor:
            assert successor.wait(job_id)["Reason"] == "shutdown"

"""Changing the priority of a pending job: at once, for whoever may, and for good."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import assert_problem, pointers
from gates import Gate, lines
from running import Service, again, running
from watching import Watched

from service.access import tokens
from service.access.scopes import Scope

pytestmark = pytest.mark.e2e

NEVER_GIVEN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two workers that runs one job at a time."""
    state_dir = tmp_path_factory.mktemp("narrow") / "jobrunner"
    settings = {"JOBRUNNER_MAX_RUNNING": "1"}
    with running(state_dir, workers=2, environment=settings) as service:
        yield service


def changed(service: Service, job_id: str, body: Any) -> httpx.Response:
    return service.client.patch(f"/{job_id}", json=body)


def waiting(service: Service, log: Path, priorities: dict[str, int]) -> dict[str, str]:
    """Pending jobs that write their names to the log, in this order."""
    return {
        name: service.submit({"CommandLine": f"echo {name} >> {log}", "Priority": priority})
        for name, priority in priorities.items()
    }


def test_a_pending_job_starts_in_the_order_of_its_new_priority(
    narrow: Service, gate: Gate, tmp_path: Path
):
    log = tmp_path / "log"
    first = narrow.submit(f"read -r _ < {gate}")
    ids = waiting(narrow, log, {"a": 0, "b": 0, "c": 0, "d": 5, "e": 5})
    answer = changed(narrow, ids["c"], {"Priority": 7})
    assert (answer.status_code, answer.json()["ID"]) == (200, ids["c"])
    assert (answer.json()["Priority"], answer.json()["State"]) == (7, "pending")
    # Among those of the same priority it stands where it would have stood from the beginning.
    assert changed(narrow, ids["a"], {"Priority": 5}).json()["Priority"] == 5
    assert changed(narrow, ids["e"], {"Priority": -100}).json()["Priority"] == -100
    gate.open()
    for job_id in (first, *ids.values()):
        narrow.wait(job_id)
    assert log.read_text().split() == ["c", "a", "d", "b", "e"]
    assert narrow.show(ids["c"])["Priority"] == 7
    audit = map(json.loads, (narrow.state_dir / "audit.log").read_text().splitlines())
    assert [e["job"] for e in audit if e["action"] == "change"] == [ids[n] for n in "cae"]


def test_only_a_pending_job_can_be_changed(narrow: Service, gate: Gate):
    job_id = narrow.submit(f"echo ready; read -r _ < {gate}")
    assert lines(narrow, job_id, 1) == ["ready"]
    detail = assert_problem(changed(narrow, job_id, {"Priority": 1}), 409)["detail"]
    assert job_id in detail
    gate.open()
    narrow.wait(job_id)
    assert "exited" in assert_problem(changed(narrow, job_id, {"Priority": 1}), 409)["detail"]
    assert_problem(changed(narrow, NEVER_GIVEN, {"Priority": 1}), 404)
    assert narrow.show(job_id)["Priority"] == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/Priority"),
        ({"Priority": 101}, "/Priority"),
        ({"Priority": -101}, "/Priority"),
        ({"Priority": "1"}, "/Priority"),
        ({"Priority": 1.5}, "/Priority"),
        ({"Priority": None}, "/Priority"),
        ({"Priority": 1, "Name": "x"}, "/Name"),
        ({"priority": 1}, "/priority"),
        ([], ""),
    ],
)
def test_what_is_no_change_is_refused_with_its_place(narrow: Service, body: Any, pointer: str):
    job_id = narrow.run("true")["ID"]
    assert pointer in pointers(assert_problem(changed(narrow, job_id, body), 422))


def test_a_change_is_json(narrow: Service):
    path = f"/{narrow.run('true')['ID']}"
    headers = {"Content-Type": "application/json"}
    assert_problem(narrow.client.patch(path, content=b"{", headers=headers), 400)
    assert_problem(narrow.client.patch(path, content=b"{}"), 415)


def test_a_change_survives_every_process(tmp_path: Path, gate: Gate):
    log = tmp_path / "log"
    settings = {"JOBRUNNER_MAX_RUNNING": "1"}
    with running(tmp_path / "jobrunner", environment=settings) as service:
        service.submit(f"read -r _ < {gate}")
        ids = waiting(service, log, {"a": 0, "b": 0, "c": 0})
        assert changed(service, ids["c"], {"Priority": 1}).status_code == 200
        assert changed(service, ids["c"], {"Priority": 3}).status_code == 200
        assert changed(service, ids["b"], {"Priority": 2}).status_code == 200
        with Watched([service.supervisor_pid()]) as supervisor:
            os.kill(service.supervisor_pid(), signal.SIGKILL)
            service.crash()
            supervisor.wait_gone()
        with again(service) as successor:
            for job_id in ids.values():
                successor.wait(job_id)
            assert sorted(log.read_text().split()) == ["a", "b", "c"]
            assert [successor.show(ids[n])["Priority"] for n in "abc"] == [0, 2, 3]


def test_whoever_may_submit_with_a_priority_may_change_to_it(tmp_path: Path, gate: Gate):
    settings = {"JOBRUNNER_MAX_RUNNING": "1", "JOBRUNNER_AUTH_FAILURES": "0"}
    with running(tmp_path / "jobrunner", environment=settings) as service:

        def caller(name: str, scope: Scope, **options: Any) -> httpx.Client:
            token = tokens.create(service.state_dir, name, (scope,), **options)[1]
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.Client(base_url=service.url, headers=headers, timeout=60)

        with (
            caller("ann", Scope.RUN, max_priority=5) as ann,
            caller("bob", Scope.RUN) as bob,
            caller("root", Scope.ADMIN) as root,
            caller("reader", Scope.READ) as reader,
        ):
            first = ann.post("/", json={"CommandLine": f"read -r _ < {gate}"}).json()["ID"]
            job_id = ann.post("/", json={"CommandLine": "true"}).json()["ID"]

            def change(client: httpx.Client, priority: int) -> httpx.Response:
                return client.patch(f"/{job_id}", json={"Priority": priority})

            assert change(ann, 5).json()["Priority"] == 5
            problem = assert_problem(change(ann, 6), 422)
            assert (pointers(problem), "at most 5" in problem["detail"]) == (["/Priority"], True)
            assert_problem(change(bob, 1), 404)
            assert_problem(change(reader, 1), 403)
            assert change(root, 100).json()["Priority"] == 100
            gate.open()
            for ended in (first, job_id):
                root.get(f"/{ended}/wait")

"""Killing and cleaning by selectors: what is selected and nothing else, and what became of each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from answers import assert_problem, every_id
from gates import Gate
from running import Service, running

from service.access import tokens
from service.access.scopes import Scope

pytestmark = pytest.mark.e2e


def submitted(service: Service, test: str, command: str, **more: Any) -> str:
    return service.submit({"CommandLine": command, "Labels": {"test": test}, **more})


def kill(service: Service, query: str) -> dict[str, Any]:
    answer = service.client.delete(f"/?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def clean(service: Service, query: str) -> dict[str, Any]:
    answer = service.client.post(f"/clean?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def audited(service: Service, action: str) -> list[str]:
    entries = map(json.loads, (service.state_dir / "audit.log").read_text().splitlines())
    return [entry["job"] for entry in entries if entry["action"] == action]


def test_the_selected_jobs_are_killed_and_no_others(service: Service):
    others = [submitted(service, "spared", "sleep 600")]
    ids = [submitted(service, "killed", "sleep 600", Name=f"n{n}") for n in range(3)]

    one = kill(service, "label=test=killed&name=n1&wait=true")
    rest = kill(service, "label=test=killed&state=running,pending&wait=true&signal=INT&grace=50")
    again = kill(service, "label=test=killed")

    assert one == {"Killed": [{"ID": ids[1], "State": "killed"}], "Untouched": [], "More": False}
    assert [job["ID"] for job in rest["Killed"]] == [ids[0], ids[2]]
    assert {job["State"] for job in rest["Killed"]} == {"killed"}
    assert again == {"Killed": [], "Untouched": [], "More": False}
    receipt = service.show(ids[0])["Kill"]
    assert (receipt["Signal"], receipt["Grace"], receipt["VerifiedGone"]) == ("SIGINT", 50, True)
    assert service.show(others[0])["State"] in ("pending", "running")
    assert kill(service, "label=test=spared&since=1h&wait=true")["Killed"][0]["ID"] == others[0]
    assert [job for job in audited(service, "kill") if job in ids] == [ids[1], ids[0], ids[2]]


def test_the_selected_jobs_are_cleaned_and_no_others(service: Service, gate: Gate):
    well, failed = (service.run({"CommandLine": c, "Labels": {"test": "cleaned"}})["ID"]
                    for c in ("true", "exit 4"))  # fmt: skip
    live = submitted(service, "cleaned", f"read -r _ < {gate}")
    try:
        first = clean(service, "label=test=cleaned&exit=nonzero")
        assert first == {"Cleaned": [failed], "Untouched": [], "More": False}
        assert service.client.get(f"/{failed}").status_code == 404
        assert clean(service, "label=test=cleaned&state=all")["Cleaned"] == [well]
        assert service.show(live)["State"] in ("pending", "running")
    finally:
        gate.open()
        service.wait(live)
    assert clean(service, "label=test=cleaned")["Cleaned"] == [live]
    assert clean(service, "label=test=cleaned")["Cleaned"] == []
    done = {well, failed, live}
    assert [job for job in audited(service, "clean") if job in done] == [failed, well, live]
    assert not any((service.state_dir / "jobs" / job_id).exists() for job_id in done)


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/"), ("POST", "/clean")])
@pytest.mark.parametrize("query", ["", "name=*", "limit=1", "nam=x", "label=", "name=", "state="])
def test_without_a_selector_nothing_is_touched(
    service: Service, method: str, path: str, query: str
):
    finished = service.run("true")["ID"]
    live = submitted(service, "untouched", "sleep 600")
    before = every_id(service)
    assert_problem(service.client.request(method, f"{path}?{query}"), 400)
    assert every_id(service) == before
    assert {finished, live} <= set(before)
    assert service.show(live)["Kill"] is None
    service.kill(live)


@pytest.mark.parametrize(
    ("method", "path", "query", "names"),
    [
        ("DELETE", "/", "state=exited", ["state", "exited"]),
        ("DELETE", "/", "state=all&exit=1", ["exit"]),
        ("DELETE", "/", "reason=timeout", ["reason"]),
        ("DELETE", "/", "state=all&since=1h&until=2h", ["since", "until"]),
        ("DELETE", "/", "state=all&signal=NOPE", ["signal"]),
        ("DELETE", "/", "state=all&limit=0", ["limit"]),
        ("POST", "/clean", "state=running", ["state", "running"]),
        ("POST", "/clean", "state=exited&reason=timeout", ["state", "reason"]),
        ("POST", "/clean", "state=all&grace=1", ["grace"]),
    ],
)
def test_what_selects_nothing_sensible_is_refused(
    service: Service, method: str, path: str, query: str, names: list[str]
):
    detail = assert_problem(service.client.request(method, f"{path}?{query}"), 400)["detail"]
    assert all(repr(name) in detail for name in names)


def test_a_limit_leaves_the_rest_to_the_next_request(service: Service):
    ids = [submitted(service, "limited", "sleep 600") for _ in range(5)]
    seen = []
    for more in (True, True, False):
        answer = kill(service, "label=test=limited&limit=2&wait=true&grace=0")
        assert answer["More"] is more
        seen += [job["ID"] for job in answer["Killed"]]
    assert seen == ids
    answers = [clean(service, "label=test=limited&limit=4") for _ in range(2)]
    assert [answer["Cleaned"] for answer in answers] == [ids[:4], ids[4:]]
    assert [answer["More"] for answer in answers] == [True, False]


def test_who_cleans_and_kills_at_the_same_time_is_told_what_was_too_late(service: Service):
    ids = [submitted(service, "raced", "exit 3") for _ in range(40)]
    for job_id in ids:
        service.wait(job_id)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        many = [
            stack.enter_context(httpx.Client(base_url=service.url, timeout=60)) for _ in range(4)
        ]
        answers = list(pool.map(lambda c: c.post("/clean?label=test=raced").json(), many))
    cleaned = [job_id for answer in answers for job_id in answer["Cleaned"]]
    assert sorted(cleaned) == sorted(ids)
    for answer in answers:
        assert {job["State"] for job in answer["Untouched"]} <= {None}
        assert {job["Why"] for job in answer["Untouched"]} <= {"It was cleaned meanwhile."}


def test_hundreds_of_jobs_are_killed_and_cleaned_while_others_are_served(service: Service):
    count = 230
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: submitted(service, "many", "exec sleep 600"), range(count)))
    killed = kill(service, "label=test=many&grace=0&wait=true")
    assert len(killed["Killed"]) == count
    assert {job["State"] for job in killed["Killed"]} == {"killed"}
    cleaned = clean(service, "label=test=many&reason=requested")
    assert sorted(cleaned["Cleaned"]) == sorted(job["ID"] for job in killed["Killed"])


# --------------------------------------------------------------------------------------- who may


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environment = {"JOBRUNNER_AUTH_FAILURES": "0", "JOBRUNNER_RATE_LIMIT": "0"}
    with running(tmp_path_factory.mktemp("state") / "jobrunner", environment=environment) as made:
        yield made


def caller(service: Service, name: str, *scopes: Scope) -> httpx.Client:
    token = tokens.create(service.state_dir, name, scopes)[1]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=service.url, headers=headers, timeout=60)


def test_nobody_touches_a_job_that_he_may_not(closed: Service):
    with contextlib.ExitStack() as stack:
        ann, bob, root = (
            stack.enter_context(caller(closed, name, scope))
            for name, scope in (("ann", Scope.RUN), ("bob", Scope.RUN), ("root", Scope.ADMIN))
        )
        reader = stack.enter_context(caller(closed, "reader", Scope.READ))
        body = {"CommandLine": "sleep 600", "Labels": {"k": "v"}}
        own, foreign = (c.post("/", json=body).json()["ID"] for c in (ann, bob))

        for client in (reader,):
            assert_problem(client.delete("/?state=all"), 403)
            assert_problem(client.post("/clean?state=all"), 403)
        assert_problem(httpx.delete(f"{closed.url}/?state=all"), 401)
        killed = ann.delete("/?label=k=v&state=all&wait=true&grace=0").json()
        assert [job["ID"] for job in killed["Killed"]] == [own]
        assert bob.get(f"/{foreign}").json()["State"] in ("pending", "running")
        assert bob.post("/clean?state=all").json()["Cleaned"] == []
        killed = root.delete("/?label=k=v&wait=true&grace=0").json()
        assert [job["ID"] for job in killed["Killed"]] == [foreign]
        assert ann.post("/clean?label=k=v").json()["Cleaned"] == [own]
        assert root.post("/clean?label=k=v").json()["Cleaned"] == [foreign]
        who = [
            json.loads(line)
            for line in (closed.state_dir / "audit.log").read_text().split("\n")
            if line
        ]
        touched = [
            (e["action"], e["principal"], e["job"]) for e in who if e["action"] in ("kill", "clean")
        ]
        assert touched == [
            ("kill", "ann", own),
            ("kill", "root", foreign),
            ("clean", "ann", own),
            ("clean", "root", foreign),
        ]

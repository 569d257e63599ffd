"""Lists as an operator uses them: what uses most, what failed since when, page by page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from answers import assert_problem
from gates import Gate, lines
from running import Service

pytestmark = pytest.mark.e2e


def asked(service: Service, query: str) -> dict[str, Any]:
    answer = service.client.get(f"/?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ran(service: Service, test: str, *commands: str, **more: Any) -> list[str]:
    labelled = {"Labels": {"test": test}, **more}
    ids = [service.submit({"CommandLine": command, **labelled}) for command in commands]
    for job_id in ids:
        service.wait(job_id)
    return ids


def test_orders_by_submission_go_both_ways(service: Service):
    ids = ran(service, "both", "true", "true", "true")
    assert asked(service, "state=all&label=test=both")["IDs"] == ids
    newest = asked(service, "state=all&label=test=both&order=newest&limit=2")
    assert (newest["IDs"], newest["Total"]) == (ids[:0:-1], 3)
    rest = asked(service, f"state=all&label=test=both&order=newest&after={newest['Next']}")
    assert (rest["IDs"], rest["Total"]) == (ids[:1], 3)
    assert "Next" not in rest


def test_links_lead_through_all_pages_of_any_order(service: Service):
    ids = ran(service, "links", *(f"head -c {n}000 /dev/zero" for n in (2, 3, 1)))
    for order, expected in (("output", [1, 0, 2]), ("newest", [2, 1, 0]), ("oldest", [0, 1, 2])):
        seen = []
        path = f"/?state=all&label=test=links&since=1h&limit=1&order={order}"
        while path:
            answer = service.client.get(path)
            seen += answer.json()["IDs"]
            link = answer.headers.get("link", "")
            path = link.partition("<")[2].partition(">")[0]
        assert seen == [ids[n] for n in expected], order


def test_what_uses_the_most_comes_first_whether_it_runs_or_not(service: Service, gate: Gate):
    wait = f"echo ready; read -r _ < {gate}"
    hungry = "x=$(head -c 20000000 /dev/zero | tr '\\0' x)"
    busy = "for ((n=0; n<400000; n++)); do :; done"  # four times what `hungry` uses
    loud = "head -c 3000000 /dev/zero"
    (idle,) = ran(service, "hogs", "true")
    commands = {"cpu": busy, "memory": hungry, "output": loud}
    running = {
        order: service.submit({"CommandLine": f"{what}; {wait}", "Labels": {"test": "hogs"}})
        for order, what in commands.items()
    }
    try:
        for order in ("cpu", "memory"):
            assert lines(service, running[order], 1) == ["ready"]
        with service.client.stream("GET", f"/{running['output']}/attach") as answer:
            got = b""
            for part in answer.iter_bytes():
                got += part
                if got.endswith(b"ready\n"):
                    break
        for order, job_id in running.items():
            listed = asked(service, f"state=all&label=test=hogs&order={order}")
            assert listed["Total"] == 4
            assert listed["IDs"][0] == job_id, order
        assert asked(service, "state=exited&label=test=hogs&order=cpu")["IDs"] == [idle]
    finally:
        gate.open(3)
        for job_id in running.values():
            service.wait(job_id)
    assert asked(service, "state=all&label=test=hogs&order=output")["IDs"][0] == running["output"]


def test_failures_are_found_by_exit_code_reason_and_time(service: Service):
    well, three, by_signal = ran(service, "failed", "true", "exit 3", "kill -9 $$")
    (unstarted,) = ran(service, "failed", "true", WorkingDir="/no/such/directory")
    (late,) = ran(service, "failed", "sleep 600", Timeout=0.1)
    label = "label=test=failed"
    assert asked(service, f"{label}&exit=0")["IDs"] == [well]
    assert asked(service, f"{label}&exit=3")["IDs"] == [three]
    failed = asked(service, f"{label}&exit=nonzero")
    assert (failed["IDs"], failed["Total"]) == ([three, by_signal, unstarted, late], 4)
    assert asked(service, f"{label}&reason=timeout,lost")["IDs"] == [late]
    assert asked(service, f"{label}&exit=nonzero&state=killed")["IDs"] == [late]
    assert asked(service, f"{label}&state=all&since=1h")["Total"] == 5
    assert asked(service, f"{label}&state=all&until=1h")["Total"] == 0
    created = service.show(three)["CreatedAt"]
    assert asked(service, f"{label}&state=all&since={quote(created)}")["IDs"][0] == three
    assert asked(service, f"{label}&state=all&until={quote(created)}")["IDs"] == [well]
    assert asked(service, f"{label}&state=all&since={time.time() + 60:.3f}")["IDs"] == []


def test_a_name_is_found_by_its_beginning(service: Service):
    ids = {
        name: service.run({"CommandLine": "true", "Name": name, "Labels": {"test": "names"}})["ID"]
        for name in ("nightly-1", "nightly-2", "night", "nightly*")
    }
    label = "state=all&label=test=names"
    for pattern, found in (
        ("nightly-1", ["nightly-1"]),
        ("nightly*", ["nightly-1", "nightly-2", "nightly*"]),
        ("nightly\\*", ["nightly*"]),
        ("*", list(ids)),
        ("ghtly*", []),
    ):
        assert asked(service, f"{label}&name={quote(pattern)}")["IDs"] == [ids[n] for n in found]


def test_a_window_back_from_now_stays_that_of_the_first_page(service: Service, tmp_path: Path):
    ids = ran(service, "window", "true", "true", "true")
    first = asked(service, "state=all&label=test=window&since=1s&until=0s&limit=1")
    ran(service, "window", "sleep 1")  # by now all of them are older than a second
    after, rest = first["Next"], []
    while after:
        query = f"state=all&label=test=window&since=1s&until=0s&limit=1&after={after}"
        page = asked(service, query)
        rest += page["IDs"]
        after = page.get("Next")
    assert first["IDs"] + rest == ids[-first["Total"] :]


def test_what_contradicts_itself_is_refused_by_both_names(service: Service):
    for query in ("state=running&exit=0", "since=1h&until=2h", "after=bjE&order=cpu"):
        detail = assert_problem(service.client.get(f"/?{query}"), 400)["detail"]
        for name in query.replace("=", "&").split("&")[::2]:
            assert repr(name) in detail

"""The running service against its own description: schemathesis makes requests of it, valid and
not, alone and in sequences, and judges each answer by it.

No command that is made up there is ever run: for this service `bash` is `echo`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from running import Service, running

from service.api.parameters import Where, parameters
from service.api.route import Route
from service.api.routes import ROUTES
from service.kinds import KINDS

pytestmark = pytest.mark.e2e
WORKERS = 2

NEVER_GIVEN = "00000000-0000-4000-8000-000000000000"
HOOKS = Path(__file__).parents[1] / "tools" / "schemathesis_hooks.py"
CONFIG = """\
[checks.positive_data_acceptance]
# 416: whether an offset is beyond the end is no matter of its form.
expected-statuses = ["2xx", 404, 409, 416]
[checks.negative_data_rejection]
# 431: a query may be wrong and too long at once.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 415, 422, 428, 429, 431, "5xx"]
"""
# They take DELETE for what makes a job go away; that is `clean`.
UNFIT = "use_after_free,ensure_resource_availability"
# Seconds: a fuse. It takes two minutes, on a busy machine five.
FUSE_S = 800


@pytest.fixture
def harmless(tmp_path: Path) -> Iterator[Service]:
    programs = tmp_path / "programs"
    programs.mkdir()
    echo = shutil.which("echo")
    assert echo is not None
    (programs / "bash").symlink_to(echo)
    environment = {"PATH": str(programs)}
    with running(tmp_path / "jobrunner", environment=environment) as service:
        yield service


@pytest.mark.slow
def test_the_service_answers_as_it_is_described(harmless: Service, tmp_path: Path):
    assert harmless.run("no such command")["ExitCode"] == 0
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{harmless.url}/openapi.json",
            "--seed=1",
            "--max-examples=10",
            f"--exclude-checks={UNFIT}",
            "--request-timeout=300",
            "--no-color",
        ],
        cwd=tmp_path,
        env={"SCHEMATHESIS_HOOKS": HOOKS.stem, "PYTHONPATH": str(HOOKS.parent)},
        capture_output=True,
        text=True,
        timeout=FUSE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    cases = re.search(r"(\d+) generated", done.stdout)
    links = re.search(r"API Links: +(\d+) covered", done.stdout)
    assert cases, done.stdout
    assert links, done.stdout
    assert int(cases[1]) > 300
    assert int(links[1]) >= 5
    wrong = [
        n
        for n, line in enumerate(harmless.lines)
        if re.search("request_failed|Traceback|ERROR", line)
    ]
    assert not wrong, "\n".join(harmless.lines[wrong[0] :])
    assert harmless.client.get("/health/ready").status_code == 200


def test_the_description_is_served_by_every_worker_alike(service: Service):
    answers = [service.client.get("/openapi.json") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["openapi"].startswith("3.1")
    head = service.client.head("/openapi.json")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answers[0].headers["content-length"]


@pytest.mark.parametrize(
    "route",
    [r for r in ROUTES if not r.any_query],
    ids=lambda route: route.operation,
)
def test_the_query_parameters_described_are_those_that_are_known(service: Service, route: Route):
    path = route.path.format(ID=service.run("true")["ID"], PATH="x")
    body = None if route.body is None else {}
    answer = service.client.request(route.method, path, params={"no-such": "1"}, json=body)
    detail = assert_problem(answer, 400)["detail"]
    known = detail.partition("expected: ")[2].rstrip(".")
    described = sorted(
        p.name for p in parameters(route.parameters).values() if p.where is Where.QUERY
    )
    assert known == (", ".join(described) or "none")


def keys(schemas: dict[str, Any], name: str) -> set[str]:
    return set(schemas[name]["properties"])


def test_a_view_has_the_keys_described_and_no_others(service: Service):
    schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
    job_id = service.submit("sleep 600")
    service.kill(job_id, wait="true")
    view = service.show(job_id)
    # These two are there when they are asked for.
    assert set(view) == keys(schemas, "JobView") - {"Processes", "Excerpt"}
    asked = service.client.get(f"/{job_id}?processes=true&output=9").json()
    assert set(asked) == keys(schemas, "JobView")
    assert set(asked["Excerpt"]) == keys(schemas, "ExcerptView")
    assert set(view) == set(schemas["JobView"]["required"])
    assert set(view["Output"]) == keys(schemas, "OutputView")
    assert set(view["Kill"]) == keys(schemas, "KillView")
    assert set(view["Commands"][0]) == keys(schemas, "BashCommandView")


def test_readiness_names_each_thing_that_it_looked_at(service: Service):
    body = service.client.get("/health/ready").json()
    assert set(body) == {"Checks", "Kinds", "Status"}
    assert body["Status"] == "ready"
    looked_at = ("supervisor", "main", "room", "records", "descriptors", "output", "drain")
    assert body["Checks"] == {name: {"Ok": True, "Why": None} for name in looked_at}
    assert set(body["Kinds"]) == set(KINDS)
    assert body["Kinds"]["bash"] == {"Usable": True, "Error": None}

"""What the README says, happens: its commands run as they stand, its tables are those of the code."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.api.routes import ROUTES, Route
from service.settings import TABLE, Setting

if TYPE_CHECKING:
    from running import Service

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def between(start: str, end: str) -> str:
    return README[README.index(start) : README.index(end)]


def test_the_tour_runs_from_top_to_bottom(service: Service) -> None:
    commands = "\n".join(
        re.findall(r"```\n(.*?)```", between("<!-- tour -->", "<!-- tour end -->"), re.DOTALL)
    )
    assert "curl" in commands
    tour = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("localhost:8080", service.url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tour.returncode == 0, tour.stderr
    assert "made here\ndone\n" in tour.stdout
    answers = [json.loads(line) for line in tour.stdout.splitlines() if line.startswith("{")]
    assert all("status" not in answer for answer in answers), answers
    states = [answer["State"] for answer in answers if "State" in answer]
    assert states == ["exited", "exited", "killed"]


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.variable)
def test_each_setting_stands_in_the_table(setting: Setting) -> None:
    rows = between("<!-- settings -->", "The unit files in")
    default = f"`{setting.default}`" if setting.default else ""
    row = f"| `{setting.variable}` | {default} | {setting.meaning} |"
    assert row in rows


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_each_route_stands_in_the_table(route: Route) -> None:
    rows = between("| route | what it does |", "HEAD works where GET does")
    path = route.path.replace("{ID}", "<ID>")
    if path == "/health/ready":
        assert f"`{path}`" in rows
    else:
        assert f"| `{route.method} {path}`" in rows


def test_the_series_of_the_table_are_those_there_are(service: Service) -> None:
    told = set(re.findall(r"`(jobrunner_\w+)`", between("<!-- series -->", "<!-- series end -->")))
    text = service.client.get("/metrics").text
    assert told == set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))


def test_each_json_example_is_a_valid_job(service: Service) -> None:
    examples = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    assert examples
    for example in examples:
        answer = service.client.post("/", json=json.loads(example))
        assert answer.status_code == 201, answer.text
        service.kill(answer.json()["ID"], grace=0, wait=True)


@pytest.mark.parametrize("page", ["deploy/OPERATIONS.md", "deploy/SECURITY.md"])
def test_each_promise_names_tests_that_are_there(page: str) -> None:
    rows = re.findall(r"^\| (?!\*\*|---|what ).* \|$", (ROOT / page).read_text(), re.MULTILINE)
    assert len(rows) > 20
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rstrip(" |").rpartition(" | ")[2])
        assert named, row
        assert [name for name in named if f"def {name}(" not in tests] == []

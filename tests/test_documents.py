"""The documents as files: what is generated is fresh, links lead somewhere, promises name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import documents
import pytest

from service.logs import STARTED

ROOT = documents.ROOT
PAGES = documents.pages()


def test_generated_parts_are_those_of_the_code() -> None:
    assert documents.stale() == [], "run: python tests/tools/documents.py"


def test_every_generator_is_used_once() -> None:
    used = [
        name for page in PAGES for name in re.findall(r"<!-- generated: (.+) -->", page.read_text())
    ]
    assert sorted(used) == sorted(documents.GENERATED)


def test_the_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_and_headings_that_exist(page: Path) -> None:
    links = re.findall(r"]\((?!https?:)([^)\s]+)\)", page.read_text())
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_each_page_is_reached_from_the_readme() -> None:
    found, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in found:
            continue
        found.add(page)
        links = re.findall(r"]\((?!https?:)([^)\s#]+\.md)[^)]*\)", page.read_text())
        todo += [(page.parent / link).resolve() for link in links]
    assert set(PAGES) <= found


@pytest.mark.parametrize("page", ["deploy/OPERATIONS.md", "deploy/SECURITY.md"])
def test_each_promise_names_tests_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    (promises,) = re.findall(
        r"<!-- (?:promises|defences) -->(.*?)<!-- \w+ end -->", text, re.DOTALL
    )
    rows = re.findall(r"^\| (?!\*\*|---|what ).* \|$", promises, re.MULTILINE)
    assert len(rows) > 20
    tests = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rstrip(" |").rpartition(" | ")[2])
        assert named, row
        assert [name for name in named if f"def {name}(" not in tests] == []


def test_each_log_event_is_explained_and_no_other() -> None:
    logged = set()
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _writes_an_event(node.func):
                event = node.args[0]
                logged.add(event.value if isinstance(event, ast.Constant) else STARTED)
    text = (ROOT / "deploy" / "OPERATIONS.md").read_text()
    table = text.partition("<!-- events -->")[2].partition("<!-- events end -->")[0]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    of_sanic = {"worker_starting", "worker_ready", "worker_stopping", "worker_stopped", "log"}
    assert set(explained) == logged | of_sanic | {STARTED}


def _writes_an_event(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(value=ast.Name(id="_log"), attr=attribute):
            return attribute != "bind"
        case ast.Name(id="log_event"):
            return True
    return False


def test_the_architecture_names_each_package_and_no_other() -> None:
    text = (ROOT / "service" / "README.md").read_text()
    table = text.partition("\n## Packages\n")[2].partition("\n## ")[0]
    named = {
        name.rstrip("/")
        for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(.+?)`", row)
    }
    there = {
        path.name
        for path in (ROOT / "service").iterdir()
        if path.is_dir() or path.suffix == ".py"
        if not path.name.startswith("__")
    }
    assert named == there

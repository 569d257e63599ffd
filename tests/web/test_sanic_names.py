"""Which modules import what of Sanic. An import contract in pyproject.toml says which packages may
import it at all; that it can't tell one of Sanic's modules from another is why this is a test.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

# What Sanic documents, and keeps over its releases.
PUBLIC = {"sanic", "sanic.exceptions", "sanic.handlers"}

_spec = importlib.util.find_spec("service")
assert _spec is not None
assert _spec.origin is not None
SERVICE = Path(_spec.origin).parent
MODULES = sorted(path.relative_to(SERVICE).as_posix() for path in SERVICE.rglob("*.py"))
BENCHMARKS = Path(__file__).parents[1] / "benchmarks" / "cases"


def imported(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((SERVICE / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith("web/")])
def test_only_web_imports_more_of_sanic_than_its_public_names(module: str):
    of_sanic = {name for name in imported(module) if name.split(".")[0] == "sanic"}
    assert of_sanic <= PUBLIC


def test_web_is_where_sanics_insides_are():
    of_web = [m for m in MODULES if m.startswith("web/")]
    assert any(set(imported(m)) & {"sanic.http", "sanic.server"} for m in of_web)


def test_what_is_paid_for_by_measurement_names_benchmarks_that_there_are():
    text = ast.get_docstring(ast.parse((SERVICE / "web" / "__init__.py").read_text())) or ""
    _, heading, listed = text.partition("Paid for by measurement")
    assert heading
    entries = listed.replace("\n", " ").split(" - ")[1:]
    cases = "".join(path.read_text() for path in BENCHMARKS.glob("*.py"))
    named = [entry.partition("enchmark")[2].split("`")[1::2] for entry in entries]
    assert sum(map(bool, named)) >= 6
    assert {name for names in named for name in names if f'"{name}"' not in cases} == set()

"""The page's modules as text: what is vendored is what npm had, and none of ours makes markup of text."""

from __future__ import annotations

import re

import pytest
import vendored

from service.ui import assets

pytestmark = pytest.mark.once


def test_vendored_files_are_those_of_their_manifests() -> None:
    for directory in vendored.DIRECTORIES:
        assert vendored.wrong(directory) == []


def test_no_module_of_ours_makes_markup_of_text_or_runs_it() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySet|\beval\(|new Function|https?://"
    )
    found = [
        f"{path.name}: {line.strip()}"
        for path in assets.files()
        if path.parent.name != "vendor" and path.suffix == ".js"
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("view", "roots"), [("list", ["list/page.js"]), ("job", ["job/page.js", "log/viewer.js"])]
)
def test_what_is_preloaded_is_what_a_view_imports(view: str, roots: list[str]) -> None:
    """One that is missing costs a round trip, one too many a request for nothing."""
    imports = re.compile(r"""^(?:import|export)\b[^"]*?"(\.[^"]+)";""", re.MULTILINE)
    found: set[str] = set()
    left = ["main.js", *roots]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        path = assets.DIRECTORY / name
        if path.parent.name != "vendor":
            left += [
                (path.parent / given).resolve().relative_to(assets.DIRECTORY).as_posix()
                for given in imports.findall(path.read_text())
            ]
    assert sorted(assets.Assets().of_view(view)[1]) == sorted(found - {"main.js"})

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

"""The page's modules that need no browser, under Node; what is vendored; and that no module writes markup."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import vendored

from service.ui import assets

HERE = Path(__file__).parent
IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.js")))
def test_logic_holds_under_node(name: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None and not IS_CI:
        pytest.skip("node isn't installed")
    assert node is not None
    # The tests import the page by its path in the tree; here it is the installed one.
    here = tmp_path / "tests" / "ui"
    shutil.copytree(HERE, here, ignore=shutil.ignore_patterns("vendor", "*.py", "__pycache__"))
    shutil.copytree(assets.DIRECTORY, tmp_path / "service" / "ui" / "static")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(
        [node, "--test", here / name], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


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

"""The modules of the page that need no browser, under `node --test`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE = shutil.which("node")
IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
FUSE_S = 300

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(NODE is None and not IS_CI, reason="node isn't installed"),
]


@pytest.mark.parametrize("tests", sorted(path.name for path in HERE.glob("*.test.js")))
def test_pure_modules(tests: str) -> None:
    done = subprocess.run(
        ["node", "--experimental-default-type=module", "--test", HERE / tests],
        capture_output=True,
        text=True,
        timeout=FUSE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

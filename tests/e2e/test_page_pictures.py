"""Each view can be looked at, light and dark, wide and narrow; on the way nothing fails in any of them."""

from __future__ import annotations

from pathlib import Path

import screenshots
from chromium import IN_A_BROWSER, driver

driver()
pytestmark = IN_A_BROWSER


def test_there_is_a_picture_of_each_view(tmp_path: Path) -> None:
    screenshots.take(tmp_path / "pictures")
    found = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    assert set(found) == {
        f"{view}-{size}-{scheme}.png"
        for view in screenshots.VIEWS
        for size in screenshots.SIZES
        for scheme in screenshots.SCHEMES
    }
    # Each shows something of its own: none is a blank page, or that of another.
    assert len(set(found.values())) == len(found)

"""What attacks start their own services with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """For a service of the test's own."""
    return tmp_path / "jobrunner"

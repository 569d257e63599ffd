"""Anybody may ask for the health, without a token and without an end: it costs the disk nothing."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from running import Service, running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REQUESTS = 2000


def written(service: Service) -> dict[str, tuple[int, int]]:
    """Size and time of each file of the state directory."""
    found = {}
    for directory, _, names in os.walk(service.state_dir):
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                status = path.stat()
                found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def test_asking_for_the_health_changes_nothing_on_the_disk(tmp_path: Path):
    with running(tmp_path / "state", workers=2) as service:
        service.wait_for_line("worker_ready", 2)
        before = written(service)

        def ask(count: int) -> set[int]:
            with httpx.Client(base_url=service.url, timeout=60) as client:
                paths = ("/health/ready", "/health/live")
                return {client.get(paths[n % 2]).status_code for n in range(count)}

        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(ask, [REQUESTS // 8] * 8)
            assert set().union(*answers) == {200}
        assert written(service) == before

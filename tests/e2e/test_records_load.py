"""The records on the disk under load: what is written again and again takes no more room."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from running import running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_steady_submissions_never_let_the_log_grow(tmp_path: Path):
    with running(tmp_path / "state", workers=2) as service:
        log = service.state_dir / "jobs.db-wal"
        sizes = []
        # Of this size, a few hundred write what small ones write in minutes.
        large = dict.fromkeys(("ONE", "TWO"), "x" * 100_000)
        job = {"CommandLine": "true", "Environment": large}
        for _ in range(300):
            service.submit(job)
            sizes.append(log.stat().st_size)
        assert max(sizes) < 64 << 20
        assert sum(a > b for a, b in itertools.pairwise(sizes)) >= 2
        with closing(sqlite3.connect(service.state_dir / "jobs.db")) as db:
            assert db.execute("SELECT count(*) FROM jobs").fetchone() == (300,)

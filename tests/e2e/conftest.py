"""One service for all tests of a module that don't disturb it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import launched
from dockerd import Dockerd, daemon_or_skip
from gates import Gate
from running import Service, running
from slurm import Cluster, cluster_or_skip


@pytest.fixture(scope="module")
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One process, or as many workers as the module's `WORKERS`, any of which takes a connection."""
    workers = getattr(request.module, "WORKERS", None)
    with running(tmp_path_factory.mktemp("state") / "jobrunner", workers=workers) as service:
        yield service


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """For a service of the test's own."""
    return tmp_path / "jobrunner"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Where the jobs of this test wait."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """A Docker daemon of this session's own, with an image."""
    with daemon_or_skip() as dockerd:
        yield dockerd


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm cluster of this session's own."""
    with cluster_or_skip() as cluster:
        yield cluster

"""Which directories of the host a container may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.kinds.docker.sources import source
from service.kinds.docker.volumes import NotAllowed
from service.kinds.settings import read_settings


def test_no_container_has_the_socket_of_the_service(tmp_path: Path):
    for name in ("data", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("run")
    settings = read_settings(
        {
            "JOBRUNNER_STATE_DIR": "/state",
            "JOBRUNNER_SOCKET": f"{tmp_path}/link/s",
            "JOBRUNNER_DOCKER_VOLUMES": str(tmp_path),
        }
    )
    assert source(f"{tmp_path}/data", settings) == f"{tmp_path}/data"
    for path in (tmp_path, tmp_path / "run", tmp_path / "run" / "s"):
        with pytest.raises(NotAllowed, match="apart from the service's own files"):
            source(str(path), settings)

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.files.usage import disk_usage


def usage(path: Path) -> int:
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        return disk_usage(parent, path.name, is_over=lambda: False)
    finally:
        os.close(parent)


def test_disk_usage_is_what_is_allocated(tmp_path):
    directory = tmp_path / "job"
    (directory / "work" / "deep").mkdir(parents=True)
    empty = usage(directory)
    (directory / "output").write_bytes(b"x" * (1 << 20))
    (directory / "work" / "deep" / "file").write_bytes(b"x" * (1 << 20))
    os.link(directory / "output", directory / "work" / "again")
    with open(directory / "work" / "sparse", "wb") as sparse:
        sparse.truncate(1 << 30)
    (directory / "work" / "elsewhere").symlink_to("/usr")
    assert 2 << 20 <= usage(directory) - empty < (2 << 20) + (64 << 10)


def test_what_is_not_there_takes_nothing(tmp_path):
    assert usage(tmp_path / "none") == 0


def test_each_directory_of_many_is_gone_on_with_where_it_was_left(tmp_path):
    directory = tmp_path / "job"
    for number in range(300):
        (directory / f"{number:0>200}" / "below").mkdir(parents=True)
        (directory / f"{number:0>200}" / "file").write_bytes(b"x" * 4096)
    least = 300 * 4096
    assert least <= usage(directory) < 4 * least


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_what_its_owner_closed_to_himself_counts_and_stays_closed(tmp_path):
    from service.files.user import acting_as

    closed = tmp_path / "job" / "closed"
    closed.mkdir(parents=True)
    (closed / "file").write_bytes(b"x" * (1 << 20))
    for path in (tmp_path, tmp_path / "job", closed, closed / "file"):
        os.chown(path, 65534, 65534)
    closed.chmod(0)
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        with acting_as(65534, 65534):
            assert disk_usage(parent, "job", is_over=lambda: False) >= 1 << 20
    finally:
        os.close(parent)
    assert closed.stat().st_mode & 0o777 == 0

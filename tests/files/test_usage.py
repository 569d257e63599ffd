from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.files import usage as usage_module
from service.files.usage import disk_usage, small_disk_usage


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


_NAMES = st.sampled_from(["a", "b", "c", "d"])
_TREES = st.recursive(
    st.integers(0, 20_000)
    | st.sampled_from(["link to a file", "link to a directory", "other name"]),
    lambda below: st.dictionaries(_NAMES, below, max_size=4),
    max_leaves=12,
)


def make(tree: object, at: Path, linked: Path) -> None:
    match tree:
        case dict():
            at.mkdir()
            for name, below in tree.items():
                make(below, at / name, linked)
        case int():
            at.write_bytes(b"x" * tree)
        case "other name":
            os.link(linked / "file", at)
        case "link to a file":
            at.symlink_to(linked / "file")
        case _:
            at.symlink_to(linked)


@given(tree=_TREES)
def test_a_look_at_a_small_tree_tells_what_a_walk_does(tmp_path_factory, tree: object):
    above = tmp_path_factory.mktemp("above")
    (above / "linked").mkdir()
    (above / "linked" / "file").write_bytes(b"x" * 10_000)
    make(tree, above / "job", above / "linked")
    told = small_disk_usage(os.fspath(above / "job"))
    assert told in (None, usage(above / "job"))
    assert told is not None or isinstance(tree, dict)


def test_a_tree_that_is_not_small_or_closed_is_left_to_the_walk(tmp_path):
    deep = tmp_path / "deep"
    (deep / "a" / "b").mkdir(parents=True)
    assert small_disk_usage(os.fspath(deep)) == usage(deep)
    (deep / "a" / "b" / "c").mkdir()
    assert small_disk_usage(os.fspath(deep)) is None
    wide = tmp_path / "wide"
    wide.mkdir()
    for number in range(32):
        (wide / f"{number}").touch()
    assert small_disk_usage(os.fspath(wide)) == usage(wide)
    (wide / "one more").touch()
    assert small_disk_usage(os.fspath(wide)) is None
    assert small_disk_usage(os.fspath(tmp_path / "none")) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_mount_in_a_small_tree_takes_nothing(tmp_path):
    (tmp_path / "job" / "mounted").mkdir(parents=True)
    before = small_disk_usage(os.fspath(tmp_path / "job")) or 0
    mounted = tmp_path / "job" / "mounted"
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "test", mounted]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mount(8) isn't permitted here")
    try:
        (mounted / "file").write_bytes(b"x" * 100_000)
        found = small_disk_usage(os.fspath(tmp_path / "job"))
        assert found is not None
        assert found <= before
        assert found == usage(tmp_path / "job")
    finally:
        subprocess.run(["umount", mounted], check=True)


def replaced(path: Path) -> None:
    path.rmdir()
    path.symlink_to("/")


@pytest.mark.parametrize("change", [Path.rmdir, replaced])
def test_what_changes_below_while_it_is_looked_at_does_not_make_the_tree_empty(
    tmp_path, monkeypatch, change
):
    """A job's own processes may still be at work in it: the walk counts what is left."""
    (tmp_path / "kept").write_bytes(b"x" * 100_000)
    (tmp_path / "gone").mkdir()
    opened = usage_module.open_beneath

    def open_changed(parent: int, name: str, *given: Any, **more: Any) -> int:
        change(tmp_path / name)
        return opened(parent, name, *given, **more)

    monkeypatch.setattr(usage_module, "open_beneath", open_changed)
    assert small_disk_usage(os.fspath(tmp_path)) is None
    assert usage(tmp_path) >= 100_000


def test_a_file_that_vanishes_while_it_is_looked_at_does_not_make_the_tree_empty(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    found = os.stat

    def gone(name: Any, **more: Any) -> os.stat_result:
        if name == "file":
            raise FileNotFoundError(errno.ENOENT, "gone", name)
        return found(name, **more)

    monkeypatch.setattr(usage_module.os, "stat", gone)
    assert small_disk_usage(os.fspath(tmp_path)) is None


def test_all_kinds_and_any_names_count_in_a_look_as_in_a_walk(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(tmp_path / "socket"))
    for at in (os.fsencode(tmp_path / "below"), os.fsencode(tmp_path) + b"/\xff\xfe"):
        os.mkdir(at)
        Path(os.fsdecode(at + b"/\x80")).write_bytes(b"x" * 10_000)
    (tmp_path / "loop").symlink_to("loop")
    assert small_disk_usage(os.fspath(tmp_path)) == usage(tmp_path)
    os.symlink(tmp_path, tmp_path / "below" / "up")
    assert small_disk_usage(os.fspath(tmp_path / "below" / "up")) == 0  # in the place of a job

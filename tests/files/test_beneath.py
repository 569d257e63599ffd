"""Paths that were bent: in one step of the kernel, and component by component where it can't."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service.files import beneath
from service.files.beneath import make_directories_beneath, open_beneath, open_by_links
from service.files.user import acting_as


@pytest.fixture(params=["openat2", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways: the second is what a kernel or a filter without `openat2` leaves."""
    if request.param == "walk":
        monkeypatch.setattr(beneath, "_OPENAT2", 100_000)  # no such call: ENOSYS
    beneath._has_openat2.cache_clear()
    yield request.param
    beneath._has_openat2.cache_clear()


@pytest.fixture
def top(tmp_path: Path, way: str) -> Iterator[int]:
    (tmp_path / "top").mkdir()
    descriptor = os.open(tmp_path / "top", os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def opened(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def test_directories_are_made_where_they_are_missing(top: int, tmp_path: Path):
    for _ in range(2):
        assert opened(make_directories_beneath(top, "a/./b//c")) == f"{tmp_path}/top/a/b/c"
    assert opened(make_directories_beneath(top, b"\xff\xfe")) == f"{tmp_path}/top/\udcff\udcfe"
    assert opened(open_beneath(top, ".", os.O_RDONLY)) == f"{tmp_path}/top"


@pytest.mark.parametrize("link", ["..", "../..", "/", "/etc", "/proc/self/cwd", "a/../../x"])
def test_no_link_leads_out(top: int, tmp_path: Path, link: str):
    (tmp_path / "top" / "a").mkdir()
    os.symlink(link, tmp_path / "top" / "link")
    before = sorted(os.listdir(tmp_path))
    for path in ("link", "link/made", "link/made/deep"):
        for attempt in (
            lambda path=path: make_directories_beneath(top, path),
            lambda path=path: open_beneath(top, path, os.O_RDONLY | os.O_CREAT, 0o600),
        ):
            with pytest.raises(OSError, match="Errno") as raised:
                os.close(attempt())
            assert raised.value.errno in (errno.EXDEV, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
    assert sorted(os.listdir(tmp_path)) == before
    assert os.listdir(tmp_path / "top" / "a") == []


def test_a_link_that_leads_nowhere_makes_nothing(top: int, tmp_path: Path):
    os.symlink("../elsewhere", tmp_path / "top" / "out")
    os.symlink("missing", tmp_path / "top" / "inside")
    for path in ("out/x", "inside/x", "inside"):
        with pytest.raises(OSError, match="Errno"):
            os.close(make_directories_beneath(top, path))
    assert sorted(os.listdir(tmp_path / "top")) == ["inside", "out"]
    assert os.listdir(tmp_path) == ["top"]


@pytest.mark.parametrize("path", ["..", "a/../..", "/", "/etc"])
def test_no_path_leads_out(top: int, path: str):
    with pytest.raises(OSError, match="Errno") as raised:
        os.close(make_directories_beneath(top, path))
    assert raised.value.errno in (errno.EXDEV, errno.ENOENT)


def test_a_link_beneath_is_followed_by_the_kernel_and_refused_by_the_walk(
    top: int, tmp_path: Path, way: str
):
    (tmp_path / "top" / "a").mkdir()
    os.symlink("a", tmp_path / "top" / "link")
    if way == "openat2":
        assert opened(make_directories_beneath(top, "link/made")) == f"{tmp_path}/top/a/made"
    else:
        with pytest.raises(OSError, match="Errno"):
            os.close(make_directories_beneath(top, "link/made"))


def test_a_directory_that_is_swapped_for_a_link_all_the_time_leads_nowhere_else(
    top: int, tmp_path: Path
):
    """What was opened or made is beneath, whichever of the two stood there."""
    inside, outside = tmp_path / "top" / "dir", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    os.symlink(outside, tmp_path / "top" / "link")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for one, other in (("dir", "kept"), ("link", "dir"), ("dir", "link"), ("kept", "dir")):
                with suppress(OSError):  # `dir` was just made again
                    os.rename(tmp_path / "top" / one, tmp_path / "top" / other)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for number in range(300):
            try:
                place = opened(make_directories_beneath(top, f"dir/made/{number % 7}"))
            except OSError:
                continue
            assert place.startswith(f"{tmp_path}/top/")
    finally:
        over.set()
        swapper.join()
    assert os.listdir(outside) == []


def test_nothing_that_is_mounted_is_entered_when_it_should_not(way: str):
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(
            open_beneath(root, "proc/self", os.O_PATH | os.O_NOFOLLOW)
            if way == "openat2"
            else os.dup(root)
        )
        with pytest.raises(OSError, match="Errno") as raised:
            os.close(open_beneath(root, "proc", os.O_RDONLY, one_mount=True))
        assert raised.value.errno == errno.EXDEV
    finally:
        os.close(root)


def test_a_name_with_a_nul_is_no_path(top: int):
    with pytest.raises(ValueError, match="NUL"):
        open_beneath(top, "a\0b", os.O_RDONLY)


def test_a_path_that_may_lead_anywhere_follows_links_of_files(way: str, tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for path in (f"{tmp_path}/link", f"{tmp_path}/./link/../there", f"{tmp_path}/there/", "/"):
        assert opened(open_by_links(path, os.O_PATH | os.O_DIRECTORY)) == os.path.realpath(path)
    with pytest.raises(FileNotFoundError):
        os.close(open_by_links(f"{tmp_path}/missing", os.O_PATH))


def test_it_follows_no_link_of_a_process_past_a_closed_directory(way: str, tmp_path: Path):
    if os.geteuid():
        pytest.skip("only root may look at what others have open, and act as another user")
    (tmp_path / "closed" / "open").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    held = os.open(tmp_path / "closed" / "open", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with acting_as(12345, 12345), pytest.raises(OSError, match="Errno") as raised:
            os.close(open_by_links(f"/proc/self/fd/{held}", os.O_PATH | os.O_DIRECTORY))
    finally:
        os.close(held)
    assert raised.value.errno in (errno.ELOOP, errno.EACCES)

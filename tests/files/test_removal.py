"""Removing what somebody made to get in the way."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from service.files.removal import LeftBehind, empty, remove
from service.files.usage import disk_usage
from service.files.user import acting_as
from service.files.walk import OutOfTime

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """In memory where that can be had; nothing is left that pytest's own removal stumbles over."""
    below = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="jobrunner-test-", dir=below))
    yield directory
    subprocess.run(["rm", "-rf", directory], check=True)


@contextmanager
def parent_of(path: Path) -> Iterator[int]:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def gone(path: Path, *, is_over=lambda: False) -> bool:
    with parent_of(path) as parent:
        remove(parent, path.name, is_over=is_over)
    return not os.path.lexists(path)


def nested(path: Path, depth: int, name: str = "d") -> None:
    """Made step by step: its path is longer than any call takes."""
    path.mkdir()
    current = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=current)
        below = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(os.open(b"\xff\n\x01", os.O_CREAT | os.O_WRONLY, dir_fd=current))
    os.close(current)


@pytest.mark.parametrize(("depth", "name"), [(1500, "d"), (5000, "d"), (100, "n" * 255)])
def test_no_depth_is_too_deep_and_no_path_too_long(place: Path, depth: int, name: str):
    nested(place / "top", depth, name)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 4, hard))
    try:
        with parent_of(place / "top") as parent:
            disk_usage(parent, "top", is_over=lambda: False)
            remove(parent, "top", is_over=lambda: False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir(place) == []


def test_many_of_every_kind_of_entry(place: Path):
    top = place / "top"
    (place / "kept").mkdir()
    (place / "kept" / "file").write_text("kept")
    for number in range(150):
        (top / str(number) / "a" / "b").mkdir(parents=True)
        (top / str(number) / "link").symlink_to(place / "kept")
        os.mkfifo(top / str(number) / "fifo")
        os.link(place / "kept" / "file", top / f"hard-{number}")
    for raw in (b"\xff\xfe", b" ", b"\n", b"-rf", b"\x1b[2J", b"n" * 255):
        os.close(os.open(os.path.join(os.fsencode(top), raw), os.O_CREAT | os.O_WRONLY))
    assert gone(top)
    assert (place / "kept" / "file").read_text() == "kept"


def test_a_link_or_a_file_in_its_place_is_removed_itself(place: Path):
    (place / "kept").mkdir()
    (place / "link").symlink_to("kept")
    (place / "file").write_text("")
    assert gone(place / "link")
    assert gone(place / "file")
    assert gone(place / "missing")
    assert os.listdir(place) == ["kept"]


@AS_ROOT
def test_what_its_owner_closed_is_opened_and_what_is_anothers_is_left_to_root(place: Path):
    top = place / "top"
    for name in ("open", "unreadable", "unwritable", "of-root"):
        (top / name / "below").mkdir(parents=True)
        (top / name / "below" / "file").write_text("x")
    for path in (place, top, *top.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    for path in (top / "of-root" / "below", top / "of-root" / "below" / "file"):
        os.chown(path, 0, 0)
    (top / "unreadable").chmod(0)
    (top / "unwritable" / "below").chmod(0o500)
    directory = os.open(top, os.O_PATH | os.O_DIRECTORY)
    try:
        with acting_as(NOBODY, NOBODY), pytest.raises(LeftBehind) as raised:
            empty(directory, is_over=lambda: False)
        assert raised.value.errno in (errno.EACCES, errno.EPERM)
        assert raised.value.path == b"of-root/below/file"
    finally:
        os.close(directory)
    assert [path.relative_to(top).as_posix() for path in sorted(top.rglob("*"))] == [
        "of-root",
        "of-root/below",
        "of-root/below/file",
    ]
    assert gone(top)


@AS_ROOT
def test_an_empty_directory_that_may_not_be_opened_is_removed(place: Path):
    """As that of a job is, once its user has emptied it, by root without root's privileges."""
    os.chown(place, NOBODY, NOBODY)
    (place / "of-others").mkdir(mode=0o700)
    with acting_as(NOBODY, NOBODY):
        assert gone(place / "of-others")


@AS_ROOT
def test_a_thread_that_acts_as_another_user_leaves_the_others_as_they_are(place: Path):
    place.chmod(0o700)
    entered, over = threading.Event(), threading.Event()
    refused: list[int | None] = []

    def act() -> None:
        with acting_as(NOBODY, NOBODY):
            try:
                os.listdir(place)
            except OSError as exc:
                refused.append(exc.errno)
            entered.set()
            over.wait()
        os.listdir(place)  # and this one is itself again

    thread = threading.Thread(target=act)
    thread.start()
    entered.wait()
    assert os.listdir(place) == []
    over.set()
    thread.join()
    assert refused == [errno.EACCES]


@AS_ROOT
def test_what_is_mounted_inside_is_neither_emptied_nor_counted(place: Path):
    inner = place / "top" / "a" / "mounted"
    inner.mkdir(parents=True)
    (place / "top" / "z").write_text("x")
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(inner)],
        capture_output=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (inner / "file").write_bytes(b"x" * (1 << 19))
        with parent_of(place / "top") as parent:
            assert disk_usage(parent, "top", is_over=lambda: False) < 1 << 19
        with pytest.raises(OSError, match="Errno") as raised:
            gone(place / "top")
        assert raised.value.errno in (errno.EBUSY, errno.EXDEV)
        assert os.listdir(inner) == ["file"]
        assert not (place / "top" / "z").exists()
    finally:
        subprocess.run(["umount", str(inner)], check=True)
    assert gone(place / "top")


def test_directories_that_are_swapped_for_links_meanwhile_lead_nowhere(place: Path):
    """Somebody exchanges directories for links to what is ours, moves them up and down and out."""
    kept, top = place / "kept", place / "top"
    (kept / "below").mkdir(parents=True)
    (kept / "below" / "file").write_text("kept")
    (place / "aside").mkdir()
    over = threading.Event()

    def disturb() -> None:
        number = 0
        while not over.is_set():
            number += 1
            for call in (
                lambda: os.makedirs(top / "a" / "b" / "c"),
                lambda number=number: os.rename(top / "a" / "b", place / "aside" / str(number)),
                lambda: os.symlink(kept, top / "a" / "b"),
                lambda number=number: os.rename(place / "aside" / str(number), top / "moved"),
                lambda: os.rename(top / "a", top / "moved" / "a"),
            ):
                try:
                    call()
                except OSError:
                    continue

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for _ in range(30):
            rounds = iter(range(300))
            try:
                # It may be moved away between the finding that it is there and the look at what it is.
                (top / "a").mkdir(parents=True, exist_ok=True)
                gone(top, is_over=lambda rounds=rounds: next(rounds, None) is None)
            except OSError:
                continue
    finally:
        over.set()
        disturber.join()
    assert (kept / "below" / "file").read_text() == "kept"
    gone(top)


def test_somebody_who_goes_on_making_files_keeps_nobody_for_ever(place: Path):
    top = place / "top"
    top.mkdir()
    names = iter(range(100))

    def is_over() -> bool:
        for name in islice(names, 2):
            (top / str(name)).write_text("another")
        return next(names, None) is None

    (top / "first").write_text("x")
    with pytest.raises(OSError, match="Errno"):
        gone(top, is_over=is_over)
    assert gone(top)


def test_what_takes_too_long_stops_where_it_is(place: Path):
    nested(place / "top", 50)
    looks = iter(range(20))
    with pytest.raises(OutOfTime):
        gone(place / "top", is_over=lambda: next(looks, None) is None)
    assert gone(place / "top")

"""Acting as another user: what the thread may do then, and that no other thread may less."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from service.files.user import acting_as

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user"),
]

NOBODY = 65534
# Those that let a process pass the permissions of files. Source: capabilities(7), setfsuid(2).
OF_FILES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4}
OF_FILES |= {"LINUX_IMMUTABLE": 9, "MKNOD": 27, "MAC_OVERRIDE": 32}


def status(key: str) -> str:
    text = Path("/proc/thread-self/status").read_text()
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(key))


def effective() -> int:
    return int(status("CapEff"), 16)


def test_the_capabilities_on_files_are_gone_within_the_block_and_back_behind_it():
    before, groups = effective(), os.getgroups()
    with acting_as(NOBODY, NOBODY, (12345,)):
        left = [name for name, bit in OF_FILES.items() if effective() >> bit & 1]
        assert left == []
        assert status("Groups").split() == ["12345"]
        assert status("Uid").split()[3] == str(NOBODY)
    assert effective() == before
    assert os.getgroups() == groups


def test_other_threads_keep_their_rights(tmp_path: Path):
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0)
    tmp_path.chmod(0o755)
    inside, done = threading.Event(), threading.Event()

    def act() -> None:
        with acting_as(NOBODY, NOBODY):
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        inside.wait(60)
        assert (tmp_path / "f").read_text() == "x"
    finally:
        done.set()
        thread.join()


def test_what_only_root_may_is_refused(tmp_path: Path):
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o600)
    with acting_as(NOBODY, NOBODY), pytest.raises(PermissionError):
        os.open(tmp_path / "f", os.O_RDONLY)
    with acting_as(NOBODY, NOBODY), pytest.raises(PermissionError):
        os.mknod(tmp_path / "device", 0o20666, os.makedev(1, 3))

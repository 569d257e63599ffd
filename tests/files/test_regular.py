from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from service.files.regular import NotRegular, open_regular


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT])
def test_nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for(tmp_path: Path, flags: int):
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for name in ("directory", "link", "fifo", "socket"):
            with pytest.raises(NotRegular):
                open_regular(tmp_path / name, flags)
    os.close(open_regular(tmp_path / "file", flags))
    with pytest.raises(NotRegular):
        open_regular("/dev/zero", os.O_RDONLY)

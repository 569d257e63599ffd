"""The file of a Unix socket: who may connect from its first moment on, and what it may replace."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.web import unix_socket
from service.web.unix_socket import CannotListen, UnixSocket, WrongGroup, listen, peer_uid


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("u")  # a short name: that of a socket has 107 bytes


@pytest.fixture
def path(place: Path) -> Path:
    return place / "s"


@pytest.fixture
def others() -> Iterator[list[socket.socket]]:
    """Sockets of others."""
    made: list[socket.socket] = []
    yield made
    for each in made:
        each.close()


def listening(path: Path, **options: Any) -> UnixSocket:
    return listen(path, **{"mode": 0o600, "group": None, "backlog": 8, **options})


def bound(path: Path, others: list[socket.socket]) -> socket.socket:
    other = socket.socket(socket.AF_UNIX)
    others.append(other)
    other.bind(str(path))
    return other


def dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as once:
        once.bind(str(path))
        once.listen()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def answers(path: Path, accepting: socket.socket) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        accepted, _ = accepting.accept()
        with accepted:
            return peer_uid(accepted) == os.geteuid()


def test_nobody_else_may_connect_before_it_has_its_mode(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    modes = []
    change = os.chmod

    def observed(target: Any, to: int) -> None:
        modes.append(mode(path))
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        change(target, to)

    monkeypatch.setattr(os, "chmod", observed)
    before = os.umask(0)
    try:
        made = listening(path, mode=0o660)
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert mode(path) == 0o660
    assert answers(path, made.listener)
    made.close()
    made.close()
    assert not path.exists()


def test_a_file_of_a_dead_service_is_replaced_however_long_its_path(place: Path):
    longest = place / ("x" * (107 - len(str(place)) - 1))
    assert len(str(longest)) == 107
    dead(longest)
    made = listening(longest)
    assert answers(longest, made.listener)
    made.close()
    assert list(place.iterdir()) == []


def test_a_socket_at_which_others_listen_stays_theirs(path: Path, others: list[socket.socket]):
    other = bound(path, others)
    other.listen(0)
    with pytest.raises(CannotListen, match="another service listens there"):
        listening(path)
    other.accept()[0].close()  # the question was a connection
    waiting = socket.socket(socket.AF_UNIX)
    others.append(waiting)
    waiting.connect(str(path))  # no other fits into its queue
    with pytest.raises(CannotListen, match="another service listens there"):
        listening(path)
    assert list(path.parent.iterdir()) == [path]


def test_one_that_began_to_listen_while_it_was_taken_for_dead_gets_its_place_back(
    path: Path, others: list[socket.socket], monkeypatch: pytest.MonkeyPatch
):
    other = bound(path, others)
    rename = os.rename

    def renamed(source: Any, target: Any) -> None:
        rename(source, target)
        other.listen()

    monkeypatch.setattr(os, "rename", renamed)
    with pytest.raises(CannotListen, match="another service listens there"):
        listening(path)
    other.accept()[0].close()
    assert list(path.parent.iterdir()) == [path]
    assert answers(path, other)


def test_one_whose_place_was_taken_before_it_listened_gives_up_and_leaves_the_other(
    path: Path, others: list[socket.socket], monkeypatch: pytest.MonkeyPatch
):
    give = unix_socket._give

    def taken(*arguments: Any) -> None:
        give(*arguments)
        path.unlink()
        bound(path, others).listen()

    monkeypatch.setattr(unix_socket, "_give", taken)
    with pytest.raises(CannotListen, match="another service listens there"):
        listening(path)
    assert answers(path, others[0])


def test_closing_leaves_a_file_that_is_anothers(path: Path, others: list[socket.socket]):
    made = listening(path)
    path.unlink()
    other = bound(path, others)
    other.listen()
    made.close()
    assert answers(path, other)


def test_what_is_no_socket_is_left_alone(path: Path):
    path.write_text("kept")
    with pytest.raises(CannotListen, match="a file that is no socket"):
        listening(path)
    assert path.read_text() == "kept"
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(CannotListen, match="a file that is no socket"):
        listening(path)
    assert path.is_symlink()


@pytest.mark.parametrize(
    ("name", "why"),
    [("no/s", "there is no directory '.*/no'"), ("x" * 107, "has at most 107 bytes")],
)
def test_why_nothing_can_listen_is_a_sentence(place: Path, name: str, why: str):
    with pytest.raises(CannotListen, match=f"can't listen on '{place / name}': .*{why}"):
        listening(place / name)
    assert list(place.iterdir()) == []


def test_a_group_that_can_not_be_given_leaves_no_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:  # as the kernel does, for a user who isn't in the group
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(WrongGroup, match="Operation not permitted"):
        listening(path, group=0)
    assert list(path.parent.iterdir()) == []

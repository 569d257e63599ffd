"""The file of contexts: nobody else reads it, and nothing in it is lost."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from service.cli import contexts
from service.cli.contexts import Context, ContextError, Contexts, change, checked_name, read

pytestmark = pytest.mark.once


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return contexts.path_of({"XDG_CONFIG_HOME": str(tmp_path / "config")})


def added(name: str, url: str = "http://x", **more: str):
    def changed(found: Contexts) -> Contexts:
        return Contexts(
            current=name, contexts={**found.contexts, name: Context(url=url, token="t0", **more)}
        )

    return changed


def test_none_are_there_before_the_first_login(path: Path):
    assert read(path) == Contexts()
    assert not path.parent.exists()


def test_file_and_directory_are_this_users_alone_whatever_the_umask(path: Path):
    before = os.umask(0)
    try:
        change(path, added("one"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o755)
    change(path, added("two"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_written_is_read(path: Path):
    made = change(path, added("one", "https://a", ca="/ca.pem"))
    assert read(path) == made
    assert made.named("one").ca == "/ca.pem"
    with pytest.raises(ContextError, match=r"There is no context 'two'; known: one\."):
        made.named("two")


def test_many_logins_at_once_lose_nothing(path: Path):
    names = [f"n{number}" for number in range(20)]
    threads = [threading.Thread(target=change, args=(path, added(name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read(path).contexts) == sorted(names)
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "contexts.json",
        "contexts.lock",
    ]


def test_what_a_killed_login_has_left_is_in_nobodys_way(path: Path):
    change(path, added("one"))
    path.with_name("contexts.json.new").write_text("half of it")
    change(path, added("two"))
    assert sorted(read(path).contexts) == ["one", "two"]


def test_a_failed_change_leaves_all_as_it_was(path: Path):
    change(path, added("one"))
    before = path.read_bytes()

    def failed(found: Contexts) -> Contexts:
        found.named("none")
        raise AssertionError

    with pytest.raises(ContextError):
        change(path, failed)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_use_is_refused(path: Path, mode: int):
    change(path, added("one"))
    path.chmod(mode)
    with pytest.raises(ContextError, match=rf"\(mode {mode:03o}\): `chmod 600` it"):
        read(path)
    with pytest.raises(ContextError, match="chmod"):
        change(path, added("two"))


def test_a_file_of_another_user_is_refused(path: Path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    change(path, added("one"))
    os.chown(path, 12345, 12345)
    with pytest.raises(ContextError, match="belongs to user 12345"):
        read(path)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"contexts": {"a": {}}}', b"\xff"])
def test_a_file_of_another_form_is_named(path: Path, data: bytes):
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(ContextError, match=str(path)):
        read(path)


def test_a_link_stays_one(path: Path, tmp_path: Path):
    path.parent.mkdir(parents=True)
    elsewhere = tmp_path / "dotfiles.json"
    path.symlink_to(elsewhere)
    change(path, added("one"))
    assert path.is_symlink()
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600


def test_a_token_is_in_no_repr():
    assert "t0" not in repr(Contexts(contexts={"a": Context(url="http://x", token="t0")}))


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "config").write_text("a file")
    path = contexts.path_of({"XDG_CONFIG_HOME": str(tmp_path / "config")})
    with pytest.raises(ContextError, match="can't be written"):
        change(path, added("one"))
    with pytest.raises(ContextError, match="can't be read"):
        read(path)


@pytest.mark.parametrize("name", ["", "-x", ".x", "a b", "a/b", "a\n", "x" * 65, "a:b"])
def test_a_name_is_one_word_in_every_shell(name: str):
    with pytest.raises(ContextError, match="Expected a name"):
        checked_name(name)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]:8080",
        "https://a.example/b/c/",
        "unix:///run/a%20b.sock",
        "http://-",
        "http://",
    ],
)
def test_each_url_has_a_name(url: str):
    assert checked_name(contexts.name_for(url))


def test_the_location_is_that_of_xdg():
    assert contexts.path_of({"XDG_CONFIG_HOME": "relative"}) == contexts.path_of({})
    assert str(contexts.path_of({})).endswith("/.config/jobrunner/contexts.json")


def test_the_form_is_stable(path: Path):
    change(path, added("one", "https://a"))
    assert msgspec.json.decode(path.read_bytes()) == {
        "current": "one",
        "contexts": {"one": {"url": "https://a", "token": "t0"}},
    }

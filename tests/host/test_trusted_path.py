"""A state directory that somebody else could change, or replace, is refused: whatever lets them."""

from __future__ import annotations

import os
import pwd
import struct
from pathlib import Path

import pytest

from service import state_dir
from service.host.trusted_path import distrust
from service.state_dir import StateDirError

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def prepared(path: Path) -> Path:
    state_dir.prepare(path)
    return path


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_directory_that_every_user_may_write_to_is_refused(tmp_path: Path, mode: int):
    directory = prepared(tmp_path / "state")
    directory.chmod(mode)
    with pytest.raises(StateDirError, match="every user may write"):
        state_dir.prepare(directory)


def test_one_below_a_directory_that_every_user_may_write_to_is_refused_and_not_made(tmp_path: Path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StateDirError, match=f"every user may write to {tmp_path}/open "):
        state_dir.prepare(tmp_path / "open" / "a" / "state")
    assert list((tmp_path / "open").iterdir()) == []


def test_one_in_a_sticky_directory_is_taken(tmp_path: Path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    prepared(tmp_path / "tmp" / "state")
    assert distrust(tmp_path / "tmp" / "state") is None


@as_root
def test_one_below_a_directory_of_another_user_is_refused(tmp_path: Path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY.pw_uid, -1)
    with pytest.raises(StateDirError, match=f"{theirs} belongs to user {NOBODY.pw_uid}"):
        state_dir.prepare(theirs / "state")


@as_root
def test_a_link_of_another_user_in_a_sticky_directory_is_refused(tmp_path: Path):
    prepared(tmp_path / "state")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    link = tmp_path / "tmp" / "link"
    link.symlink_to(tmp_path / "state")
    assert distrust(link) is None
    os.chown(link, NOBODY.pw_uid, -1, follow_symlinks=False)
    with pytest.raises(StateDirError, match=f"{link} belongs to user"):
        state_dir.prepare(link)


def test_a_link_is_followed_through_what_others_may_write_to(tmp_path: Path):
    (tmp_path / "open").mkdir()
    prepared(tmp_path / "open" / "state")
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to("open/../open/state")
    with pytest.raises(StateDirError, match="every user may write"):
        state_dir.prepare(tmp_path / "link")


def test_links_in_a_circle_are_an_error(tmp_path: Path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StateDirError, match="can't be used"):
        state_dir.prepare(tmp_path / "a")


@as_root
def test_a_group_may_write_that_is_the_users_own_and_no_other(tmp_path: Path):
    directory = prepared(tmp_path / "state")
    directory.chmod(0o771)
    state_dir.prepare(directory)  # the group of root has no other member
    os.chown(directory, -1, NOBODY.pw_gid)
    with pytest.raises(StateDirError, match="other users may write"):
        state_dir.prepare(directory)


@as_root
def test_an_access_list_may_let_no_other_user_write(tmp_path: Path):
    directory = prepared(tmp_path / "state")
    # Source: linux/posix_acl_xattr.h: version 2, then tag, permissions and ID of each entry.
    owner, user, group, mask, other = 0x01, 0x02, 0x04, 0x10, 0x20
    none = 0xFFFFFFFF
    entries = [(owner, 7, none), (user, 7, NOBODY.pw_uid), (group, 0, none)]
    entries += [(mask, 7, none), (other, 1, none)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(directory, "system.posix_acl_access", packed)
    except OSError as exc:
        pytest.skip(f"no access lists here: {exc}")
    with pytest.raises(StateDirError, match="other users may write"):
        state_dir.prepare(directory)


@as_root
@pytest.mark.parametrize("name", ["tokens.json", "jobs", "metrics"])
def test_what_another_user_has_put_into_it_is_refused(tmp_path: Path, name: str):
    directory = prepared(tmp_path / "state")
    planted = directory / name
    match name:
        case "metrics":
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            os.chown(elsewhere, NOBODY.pw_uid, -1)
            planted.symlink_to(elsewhere)
        case "tokens.json":
            planted.write_text("{}")
    os.chown(planted, NOBODY.pw_uid, -1)
    with pytest.raises(StateDirError, match=f"belongs to user {NOBODY.pw_uid}"):
        state_dir.prepare(directory)


def test_a_file_in_it_that_others_may_write_to_is_refused(tmp_path: Path):
    directory = prepared(tmp_path / "state")
    (directory / "tokens.json").write_text("{}")
    (directory / "tokens.json").chmod(0o666)
    with pytest.raises(StateDirError, match=r"every user may write to .*tokens\.json"):
        state_dir.prepare(directory)


def test_what_is_made_above_it_is_safe_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        prepared(tmp_path / "a" / "b" / "state")
    finally:
        os.umask(before)
    assert distrust(tmp_path / "a" / "b" / "state") is None

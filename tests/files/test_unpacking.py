"""Unpacking of archives that are made to lead out, to hang, or to take all memory."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from service.errors import BadArchive, BodyTooLarge, WrongFileType
from service.files.archives import Unpacking
from service.files.archives.inner_links import outward
from service.files.archives.tar_reader import TarReader
from service.files.place import Place

pytestmark = pytest.mark.once

DIRECTORY, SYMLINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, pax
    return info


def tar_of(*members: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for each in members:
            archive.addfile(each, io.BytesIO(bytes(each.size)))
    return made.getvalue()


def unpack(top: Path, data: bytes, *, is_compressed: bool = False, most: int = 0) -> None:
    unpacking = Unpacking(Place(str(top), None), b"", is_compressed=is_compressed, most=most)
    try:
        unpacking.feed(data)
        unpacking.finish()
    finally:
        unpacking.close()


@pytest.mark.parametrize(
    ("last", "words"),
    [
        # By its text each of them stays inside.
        (member("a/b/up/x", SYMLINK, "../y"), "leads out"),
        (member("a/b/x", SYMLINK, "up/../y"), "behind a name"),
        (member("x", HARD, "a/b/up"), "leads out"),
        (member("x", SYMLINK, "y", linkpath="y\0z"), "to no file"),
    ],
)
def test_a_link_through_a_link_does_not_lead_out(tmp_path: Path, last: tarfile.TarInfo, words: str):
    data = tar_of(member("a/b", DIRECTORY), member("a/b/up", SYMLINK, "../.."), last)
    with pytest.raises(BadArchive, match=words):
        unpack(tmp_path, data)
    assert not os.path.lexists(tmp_path / "x")


def test_links_that_stay_inside_are_made(tmp_path: Path):
    unpack(
        tmp_path,
        tar_of(
            member("a/b", DIRECTORY),
            member("a/b/up", SYMLINK, "./../../c"),
            member("a/b/same", HARD, "a/b/up"),
            member("a/b/up2", SYMLINK, ".."),
            member("a/b/up2/down", SYMLINK, "b/up"),
        ),
    )
    assert os.readlink(tmp_path / "a/b/same") == "./../../c"
    assert os.readlink(tmp_path / "a/down") == "b/up"


def test_a_directory_that_is_elsewhere_is_outside(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "input").mkdir()
    top, other = (os.open(tmp_path / name, os.O_PATH) for name in ("in", "input"))
    try:
        assert outward(top, top, b"x") is None
        assert "leads out" in str(outward(top, other, b"x"))
    finally:
        os.close(top)
        os.close(other)


def test_a_hard_link_in_the_place_of_a_directory_leaves_nothing(tmp_path: Path):
    data = tar_of(member("f"), member("d", DIRECTORY), member("d", HARD, "f"))
    with pytest.raises(WrongFileType):
        unpack(tmp_path, data)
    assert sorted(os.listdir(tmp_path)) == ["d", "f"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_extended_header_of_negative_size_is_told(kind: bytes):
    block = bytearray(member("x", kind).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (-5).to_bytes(12, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(BadArchive, match="-5 bytes"):
        list(TarReader().feed(bytes(block) + b"abc"))


def test_what_is_not_needed_of_extended_headers_is_not_kept():
    reader = TarReader()
    for number in range(3):
        made = tarfile.TarInfo.create_pax_global_header({f"key{number}": "x", "mtime": "7"})
        assert list(reader.feed(made)) == []
    assert reader._global == {b"mtime": b"7"}


def test_a_directory_that_is_named_often_is_kept_once(tmp_path: Path):
    names = ["d", "l/d", "l/l/d"]
    unpacking = Unpacking(Place(str(tmp_path), None), b"", is_compressed=False)
    try:
        unpacking.feed(
            tar_of(member("l", SYMLINK, "."), *(member(name, DIRECTORY) for name in names))
        )
        assert len(unpacking._directories) == 1
        unpacking.finish()
    finally:
        unpacking.close()


def test_the_limit_is_that_of_what_is_unpacked_too(tmp_path: Path):
    large = member("large")
    large.size = 1 << 20
    data = gzip.compress(tar_of(large))
    with pytest.raises(BodyTooLarge, match="MAX_UPLOAD"):
        unpack(tmp_path, data, is_compressed=True, most=len(data) + 1)
    assert os.listdir(tmp_path) == []
    unpack(tmp_path, data, is_compressed=True, most=1 << 20)

"""Places, lists, uploads and archives of a job's files, without a service."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from service.errors import FileForbidden, UnknownFile, WrongFileType
from service.files import beneath
from service.files.archives import FORMATS, Archive, Incomplete, Unpacking
from service.files.archives.members import Member
from service.files.archives.zip_encoder import ZipEncoder
from service.files.listing import entries_of
from service.files.place import Place, open_found
from service.files.refusals import told
from service.files.writing import Upload

pytestmark = pytest.mark.once


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "job" / "work").mkdir(parents=True)
    return Place(str(tmp_path / "job" / "work"), None)


@pytest.fixture(params=["openat2", "by component"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "openat2":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    return str(request.param)


def write(place: Place, path: bytes, data: bytes, **options) -> None:
    upload = Upload(place, path, lambda _: None, mode=options.get("mode"))
    try:
        upload.write(data)
        upload.commit(lambda _: None, only_new=False)
    finally:
        upload.close()


def read(place: Place, path: bytes) -> bytes:
    with told(path), place.acting() as top:
        found = open_found(top, path)
    try:
        return os.read(found.descriptor, 1 << 20)
    finally:
        os.close(found.descriptor)


def archived(place: Place, form: str) -> bytes:
    archive, data = Archive(place, b"", FORMATS[form]), b""
    try:
        while (piece := archive.next_piece()) is not None:
            data += piece
    finally:
        archive.close()
    return data


def test_nothing_leads_out_of_a_place(place: Place, tmp_path: Path, way: str):
    work = Path(place.path)
    (tmp_path / "secret").write_text("x")
    for name, target in {
        "up": "../../secret",
        "absolute": str(tmp_path / "secret"),
        "directory": "../..",
        "magic": "/proc/self/root",
        "loop": "loop",
    }.items():
        (work / name).symlink_to(target)
    (work / "f").write_text("f")
    (work / "good").symlink_to("f")
    for path in (b"up", b"absolute", b"directory/secret", b"magic/etc/passwd", b"loop"):
        with pytest.raises((FileForbidden, WrongFileType)):
            read(place, path)
        with pytest.raises((FileForbidden, WrongFileType)), told(path):
            write(place, path + b"/new", b"x")
    if way == "openat2":
        assert read(place, b"good") == b"f"
    else:  # without the kernel's help no link is followed
        with pytest.raises(FileForbidden):
            read(place, b"good")
    assert (tmp_path / "secret").read_text() == "x"
    assert sorted(os.listdir(tmp_path)) == ["job", "secret"]


def test_what_is_no_file_is_never_opened(place: Place, way: str):
    os.mkfifo(f"{place.path}/fifo")
    with pytest.raises(WrongFileType):
        read(place, b"fifo")
    with pytest.raises(UnknownFile):
        read(place, b"none")


@pytest.mark.parametrize("has_unnamed", [True, False])
def test_an_upload_is_seen_when_it_is_whole(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, has_unnamed: bool
):
    if not has_unnamed:  # a file system without files that have no name
        opened = os.open

        def refusing(path, flags, *rest, **options):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "")
            return opened(path, flags, *rest, **options)

        monkeypatch.setattr(os, "open", refusing)
    upload = Upload(place, b"a/f", lambda _: None)
    upload.write(b"x" * 100_000)
    assert len(os.listdir(f"{place.path}/a")) == (0 if has_unnamed else 1)
    upload.close()
    assert os.listdir(f"{place.path}/a") == []
    write(place, b"a/f", b"one", mode=0o4711)
    assert os.stat(f"{place.path}/a/f").st_mode & 0o7777 == 0o711
    write(place, b"a/f", b"two")
    assert os.listdir(f"{place.path}/a") == ["f"]
    assert (read(place, b"a/f"), os.stat(f"{place.path}/a/f").st_mode & 0o777) == (b"two", 0o711)


def test_a_link_is_replaced_not_followed(place: Place, tmp_path: Path):
    (tmp_path / "outside").write_text("x")
    Path(place.path, "f").symlink_to(tmp_path / "outside")
    write(place, b"f", b"new")
    assert (tmp_path / "outside").read_text() == "x"
    assert read(place, b"f") == b"new"


def test_only_new_is_judged_by_the_kernel(place: Place):
    upload = Upload(place, b"f", lambda _: None)
    Path(place.path, "f").write_text("of the job")  # after the check
    with pytest.raises(FileExistsError):
        upload.commit(lambda _: None, only_new=True)
    upload.close()
    assert os.listdir(place.path) == ["f"]
    assert read(place, b"f") == b"of the job"


def test_a_list_is_the_same_in_pages_of_any_size(place: Place):
    for path in ("a/b/c/d", "a/b/x", "a-b/y", "a/z", "e", "c/f"):
        Path(place.path, path).parent.mkdir(parents=True, exist_ok=True)
        Path(place.path, path).touch()
    expected = [b"a", b"a/b", b"a/b/c", b"a/b/c/d", b"a/b/x", b"a/z", b"a-b", b"a-b/y"]
    expected += [b"c", b"c/f", b"e"]
    with place.acting() as top:
        found = open_found(top, b"")
        for limit in range(1, len(expected) + 1):
            paths, after, has_more = [], b"", True
            while has_more:
                page, has_more = entries_of(
                    top, b"", found, limit=limit, after=after, recursive=True
                )
                paths += [entry.path for entry in page]
                after = paths[-1]
            assert paths == expected
        # Where it went on is gone meanwhile.
        page, _ = entries_of(top, b"", found, limit=9, after=b"a/b/gone", recursive=True)
        assert [entry.path for entry in page][:2] == [b"a/b/x", b"a/z"]
        os.close(found.descriptor)


def test_archives_hold_files_of_any_name_and_size(place: Place):
    names = [b"a b", b"\xff", "grün".encode(), b"n\nl", b"x" * 255]
    for name in names:
        write(place, b"d/" + name, name * 1000)
    with tarfile.open(fileobj=io.BytesIO(archived(place, "tar.gz")), mode="r:gz") as tar:
        found = {os.fsencode(member.name): member for member in tar}
        assert set(found) == {b"d", *(b"d/" + name for name in names)}
        for name in names:
            content = tar.extractfile(found[b"d/" + name])
            assert content is not None
            assert content.read() == name * 1000
    with zipfile.ZipFile(io.BytesIO(archived(place, "zip"))) as zipped:
        assert zipped.testzip() is None
        assert len(zipped.namelist()) == len(names) + 1
        assert zipped.read("d/grün") == "grün".encode() * 1000


def test_an_archive_without_a_file_is_not_whole(place: Place, monkeypatch: pytest.MonkeyPatch):
    write(place, b"a", b"x")
    write(place, b"b", b"y")
    real = os.open

    def refusing(path, flags, *rest, **options):
        if isinstance(path, str) and path.startswith("/proc/self/fd/"):
            target = os.readlink(path)
            if target.endswith("/b"):
                raise PermissionError(errno.EACCES, "")
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", refusing)
    archive, data = Archive(place, b"", FORMATS["tar"]), b""
    with pytest.raises(Incomplete, match="'b'"):
        while (piece := archive.next_piece()) is not None:
            data += piece
    archive.close()


def test_large_zips_have_64_bits():
    """A file that says that it has 5 GiB, and more files than 16 bits count."""
    encoder, made = ZipEncoder(), io.BytesIO()
    large = os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, 5 << 30, 0, 0, 0))
    none = os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    made.write(encoder.begin(Member(b"large", large, descriptor=0)) + encoder.data(b"abc"))
    made.write(encoder.end(missing=(5 << 30) - 3))
    for number in range(70_000):
        made.write(encoder.begin(Member(b"%d" % number, none, descriptor=0)))
        made.write(encoder.end(missing=0))
    made.write(encoder.finish())
    with zipfile.ZipFile(made) as zipped:
        assert zipped.read("large") == b"abc"
        assert len(zipped.namelist()) == 70_001
        assert zipped.read("69999") == b""


def test_what_is_unpacked_replaces_and_keeps_modes(place: Place):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("./d")
        info.type, info.mode = tarfile.DIRTYPE, 0o500
        tar.addfile(info)
        info = tarfile.TarInfo("./d/f")
        info.size, info.mode = 1, 0o6755
        tar.addfile(info, io.BytesIO(b"2"))
    write(place, b"into/d/f", b"1")
    unpacking = Unpacking(place, b"into", is_compressed=False)
    for byte in out.getvalue():
        unpacking.feed(bytes([byte]))
    unpacking.finish()
    unpacking.close()
    assert (read(place, b"into/d/f"), unpacking.entries) == (b"2", 2)
    assert os.stat(f"{place.path}/into/d/f").st_mode & 0o7777 == 0o755
    assert os.stat(f"{place.path}/into/d").st_mode & 0o7777 == 0o500

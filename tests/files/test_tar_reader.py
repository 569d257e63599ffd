"""A stream of tar: the same however it is cut into pieces, and nothing else is taken for one."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BadArchive
from service.files.archives.tar_reader import Content, Header, TarReader

pytestmark = pytest.mark.once

NAMES = st.binary(min_size=1, max_size=300).map(
    lambda b: b.replace(b"\0", b"x").replace(b"/", b"y")
)
FORMATS = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)


def made(files: list[tuple[bytes, bytes]], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files:
            info = tarfile.TarInfo(os.fsdecode(name))
            info.size, info.mtime = len(data), 1_000_000
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def read(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    reader, found = TarReader(), []
    for piece in pieces:
        for event in reader.feed(piece):
            if isinstance(event, Header):
                path, data = event.path, b""
                assert event.modified_ns == 1_000_000 * 10**9
            else:
                data += event.data
                if event.is_last:
                    found.append((path, data))
    reader.finish()
    return found


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=4),
    st.lists(st.integers(1, 1200), min_size=1, max_size=8),
    st.sampled_from(FORMATS[:2]),
)
def test_any_pieces_have_the_same_in_them(files, sizes, form):
    data = made(files, form)
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    assert read(pieces) == files
    assert read([data]) == files


def test_an_archive_that_ends_anywhere_before_its_end_is_told():
    data = made([(b"a", b"x" * 700), (b"b" * 200, b"y")])
    end = data.rindex(b"y") // 512 * 512 + 512
    for cut in range(0, end + 1, 37):
        with pytest.raises(BadArchive, match="ends too early"):
            read([data[:cut]])
    assert len(read([data[: end + 512]])) == 2


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damage_is_an_error_or_another_file_and_nothing_else(data):
    whole = bytearray(
        made([(b"a", b"x" * 600), (b"long" * 60, b"y")], data.draw(st.sampled_from(FORMATS[:2])))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        reader = TarReader()
        for event in reader.feed(bytes(whole)):
            assert isinstance(event, Header | Content)
        reader.finish()
    except BadArchive:
        pass


def test_an_extended_header_is_bounded():
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    with pytest.raises(BadArchive, match="extended header"):
        list(TarReader().feed(info.tobuf(tarfile.USTAR_FORMAT)))


def test_old_and_large_numbers_are_read():
    info = tarfile.TarInfo("big")
    info.size = 20 << 30
    for form in FORMATS[:2]:
        events = list(TarReader().feed(info.tobuf(form)))
        assert isinstance(events[-1], Header)
        assert events[-1].size == info.size

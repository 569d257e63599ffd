"""Encoders against plain bytes: however output is cut into chunks, it says the same."""

from __future__ import annotations

import asyncio
import os
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from log_readers import FakeSink, chunks_of, subscribed, turn, until_waiting, watching

from service.output.chunk import UNKNOWN, Chunk
from service.output.cursor import Cursor
from service.output.formats.encoder import Encoder
from service.output.formats.plain_text import MarkedPlainText, PlainText
from service.output.formats.registry import FORMATS
from service.output.index import STDERR, STDOUT
from service.output.reader import LogReader
from service.output.writer import LogWriter

FUSE_S = 300
STREAMS = (None, STDOUT, STDERR)

Run = tuple[int, int, bytes]
runs = st.lists(
    st.tuples(st.sampled_from([STDOUT, STDERR]), st.integers(0, 2), st.binary(min_size=1)),
    max_size=20,
)
text = st.lists(st.sampled_from([b"line\n", b"no end", b"\n", b"\xff\x00"]), max_size=20)


class Attributed(Encoder):
    """Shows all that an encoder may need to know: a line for each chunk."""

    needs_attribution = True

    def chunk(self, chunk: Chunk) -> bytes:
        return b"%d %d %d %d %d %s\n" % (*chunk[:5], chunk.data.hex().encode())


def chunk_of(data: bytes) -> Chunk:
    return Chunk(0, 0, STDOUT, 0, 0, data)


def write(directory: Path, script: list[Run], *, clock_ns: int = 0) -> LogWriter:
    log = LogWriter.create(directory, clock_ns=lambda: clock_ns)
    append(log, script)
    return log


def append(log: LogWriter, script: list[Run]) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    for stream, command, data in script:
        os.write(writer, data)
        log.splice_from(reader, stream, command)
    os.close(reader)
    os.close(writer)


def bytes_of(script: list[Run], stream: int | None) -> bytes:
    return b"".join(data for owner, _, data in script if stream in (None, owner))


@given(text, st.lists(st.integers(0, 60)))
def test_plain_text_is_the_bytes_whatever_the_chunks(pieces: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(pieces)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for kind in (PlainText, MarkedPlainText):
        encoder = kind()
        wire = encoder.head()
        for start, end in pairwise(places):
            if start < end:
                wire += encoder.encode([chunk_of(whole[start:end])])
        assert wire + encoder.end({}, len(whole)) == whole


@given(text, text, st.integers(0, 10_000), st.integers(1, 10_000))
def test_a_mark_is_a_line_of_its_own(
    before: list[bytes], after: list[bytes], start: int, count: int
) -> None:
    encoder = MarkedPlainText()
    head = b"".join(encoder.chunk(chunk_of(piece)) for piece in before)
    mark = encoder.gap(start, start + count)
    tail = b"".join(encoder.chunk(chunk_of(piece)) for piece in after)
    line = b"[jobrunner: %d bytes dropped]\n" % count
    assert mark == (line if not head or head.endswith(b"\n") else b"\n" + line)
    assert encoder.gap(0, 1).startswith(b"[" if not tail or tail.endswith(b"\n") else b"\n")


def test_the_bytes_of_plain_text_are_not_copied() -> None:
    data = os.urandom(1000)
    assert PlainText().encode([chunk_of(data)]) is data
    assert MarkedPlainText().encode([chunk_of(data)]) is data


@given(text, text)
def test_an_encoder_in_the_state_of_another_goes_on_where_that_one_was(
    before: list[bytes], after: list[bytes]
) -> None:
    for found in FORMATS:
        for marks in (False, True):
            one, other = (found.encoder(marks_gaps=marks) for _ in range(2))
            one.encode([chunk_of(piece) for piece in before])
            other.state = one.state
            assert other.is_like(one)
            same = [chunk_of(piece) for piece in after]
            assert other.copy().encode(same) == other.encode(same) == one.encode(same)
            if marks:
                assert one.gap(3, 5) == other.gap(3, 5)


def test_a_format_cuts_or_marks_as_it_is_asked() -> None:
    for found in FORMATS:
        assert found.encoder(marks_gaps=True).marks_gaps
        assert not isinstance(found.encoder(marks_gaps=False), MarkedPlainText)
        assert type(found.encoder()) is type(found.encoder(marks_gaps=found.marks_gaps))
    assert [found.marks_gaps for found in FORMATS[:2]] == [True, False]
    assert [found.name for found in FORMATS[:2]] == ["text", "bytes"]
    media_types = [mime for found in FORMATS for mime in found.media_types]
    assert media_types[:2] == ["text/plain", "application/octet-stream"]
    assert len(set(media_types)) == len(media_types)


def test_only_what_is_as_long_as_the_output_tells_its_length() -> None:
    assert PlainText().length(7) == MarkedPlainText().length(7) == 7
    assert Attributed().length(7) is None


@settings(deadline=None)
@given(runs, st.sampled_from([1, 7, 1000]))
def test_attributed_chunks_say_of_each_byte_whose_it_is(script: list[Run], limit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), script).detach()
        owners = [(stream, command) for stream, command, data in script for _ in data]
        whole = bytes_of(script, None)
        before = {
            stream: [sum(owner == stream for owner, _ in owners[:at]) for at in range(len(owners))]
            for stream in (STDOUT, STDERR)
        }
        with LogReader.open(Path(name)) as reader:
            for stream in STREAMS:
                size = len(bytes_of(script, stream))
                for offset in {0, size // 2, max(0, size - 1)}:
                    cursor = Cursor(reader, offset, stream, attributed=True)
                    got = b""
                    while chunks := cursor.next_chunks(limit=limit):
                        for chunk in chunks:
                            at = chunk.offset
                            span = slice(at, at + len(chunk.data))
                            assert chunk.data == whole[span]
                            assert set(owners[span]) == {(chunk.stream, chunk.command)}
                            assert chunk.stream_offset == before[chunk.stream][at]
                            assert chunk.time_ns > 0
                            got += chunk.data
                    assert got == bytes_of(script, stream)[offset:]
                    assert cursor.offset == size


@given(runs)
@settings(deadline=None)
def test_coalesced_chunks_know_what_their_bytes_have_in_common(script: list[Run]) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), script).detach()
        with LogReader.open(Path(name)) as reader:
            for stream in STREAMS:
                chunks = chunks_of(Cursor(reader, 0, stream))
                whole = bytes_of(script, stream)
                assert len(chunks) == bool(whole)
                for chunk in chunks:
                    assert chunk.data == whole
                    if stream is None:
                        assert chunk[:-1] == (0, *[UNKNOWN] * 4)
                    else:
                        assert chunk[:-1] == (UNKNOWN, 0, stream, UNKNOWN, UNKNOWN)


def parsed(wire: bytes) -> list[tuple[int, int, int, int]]:
    """Of the `Attributed` encoder's lines: each byte with its offset, stream and command."""
    found = []
    for line in wire.splitlines():
        offset, _, stream, command, _, data = line.split(b" ")
        for number, byte in enumerate(bytes.fromhex(data.decode())):
            found.append((int(offset) + number, int(stream), int(command), byte))
    return found


@settings(deadline=None, max_examples=40)
@given(runs, st.integers(0, 20), st.sampled_from(STREAMS), st.sampled_from([PlainText, Attributed]))
def test_replay_and_live_are_the_bytes_of_the_log_wherever_they_meet(
    script: list[Run], split: int, stream: int | None, kind: type[Encoder]
) -> None:
    def size_of(sink: FakeSink) -> int:
        return len(sink.all) if kind is PlainText else len(parsed(bytes(sink.all)))

    async def scenario(directory: Path) -> bytes:
        log = write(directory, script[:split])
        with (
            watching() as watcher,
            subscribed(watcher, directory, 0, stream, encoder=kind()) as subscription,
        ):
            quick, slow = FakeSink(), FakeSink()
            tasks = [asyncio.ensure_future(subscription.copy_to(quick))]
            with subscribed(watcher, directory, 0, stream, encoder=kind()) as other:
                tasks.append(asyncio.ensure_future(other.copy_to(slow)))
                await until_waiting(watcher, directory, 2)
                for number, run in enumerate(script[split:]):
                    if number % 2:
                        slow.hold_up()
                    append(log, [run])
                    expected = len(bytes_of(script[: split + number + 1], stream))
                    while size_of(quick) < expected:
                        await turn()
                    slow.release()
                log.close(complete=True)
                await asyncio.gather(*tasks)
        if kind is PlainText:
            assert slow.all == quick.all
        else:
            assert parsed(bytes(slow.all)) == parsed(bytes(quick.all))
        return bytes(quick.all)

    with tempfile.TemporaryDirectory() as name:
        wire = asyncio.run(asyncio.wait_for(scenario(Path(name)), FUSE_S))
    if kind is PlainText:
        assert wire == bytes_of(script, stream)
        return
    owners = [(owner, command, byte) for owner, command, data in script for byte in data]
    whole = [(offset, *owner) for offset, owner in enumerate(owners)]
    assert parsed(wire) == [found for found in whole if stream in (None, found[1])]

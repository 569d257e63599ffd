"""Lines by place and by number, against a reader that looks at the whole log."""

from __future__ import annotations

import itertools
import re
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_logs import MadeLog, Run
from waiting import until

from service.output.files import INDEX_NAME, OUTPUT_NAME
from service.output.index import STDERR, STDOUT, LogState, Record
from service.output.lines import line_index, rows, window
from service.output.lines.checkpoints import ENTRY_BYTES
from service.output.lines.kept_log import KeptLog
from service.output.lines.line_index import LINES_NAME, LineIndex
from service.output.lines.sgr import PLAIN, Style, after
from service.output.lines.window import LineWindow, Wanted, is_numbered, read_window
from service.output.reader import LogReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 64
"""Instead of 64 KiB, so that small logs have all there is."""

FUSE_S = 300


@pytest.fixture
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (rows, window, line_index):
            patch.setattr(module, "BLOCK_BYTES", BLOCK)
        patch.setattr(line_index, "STEP_BYTES", 3 * BLOCK)
        yield


def put(directory: Path, data: bytes, *, closed: bool = True) -> None:
    """A log of one run."""
    directory.mkdir(exist_ok=True)
    (directory / OUTPUT_NAME).write_bytes(data)
    state = LogState(len(data), len(data), closed, closed)
    records = Record(0, 0, 1, 0, STDOUT).pack() if data else b""
    (directory / INDEX_NAME).write_bytes(state.pack() + records)


def complete(reader: LogReader, index: LineIndex) -> KeptLog:
    state = reader.state()
    log = KeptLog(reader, state)
    for _ in range(log.size // BLOCK + 2):
        if index.known(log) == log.size:
            break
        index.advance(state)
    assert index.known(log) == log.size
    return log


class Naive:
    """The rows of a made log, each (line, offset, end, text, stream), by looking at all of it."""

    def __init__(self, log: MadeLog) -> None:
        self.rows: list[tuple[int, int, int, bytes, int]] = []
        start, end = log.dropped
        whole = log.whole[:start] + log.whole[end:] if end else log.whole
        breaks = [0, start, len(whole)] if end else [0, len(whole)]
        line = 0
        for first, last in itertools.pairwise(breaks):
            for match in re.finditer(rb"[^\n]*\n|[^\n]+", whole[first:last]):
                line += 1
                self._line(log, line, first + match.start(), match[0], end - start, start, end)

    def _line(
        self, log: MadeLog, line: int, at: int, text: bytes, gap: int, start: int, end: int
    ) -> None:
        cuts = [at]
        if len(text.removesuffix(b"\n")) > BLOCK:
            places = range(at // BLOCK * BLOCK + BLOCK, at + len(text), BLOCK)
            # The text is ASCII: no cut is moved.
            cuts += places
        for begin, stop in zip(cuts, [*cuts[1:], at + len(text)], strict=True):
            offset = begin + gap if end and begin >= start else begin
            stream = log.owners[offset].stream
            piece = text[begin - at : stop - at]
            self.rows.append((line, offset, offset + stop - begin, piece, stream))


def told(found: LineWindow) -> list[tuple[int | None, int, int, bytes, int]]:
    return [
        (each.number, each.offset, each.end, each.data, each.record.stream) for each in found.lines
    ]


texts = st.lists(
    st.sampled_from([b"\n", b"a", b"bc\n", b"\n\n", b"x" * 30, b"y" * 64, b"z" * 200]), max_size=6
).map(b"".join)
logs = st.builds(
    MadeLog,
    st.lists(
        st.builds(Run, st.sampled_from([STDOUT, STDERR]), st.just(0), st.just(5), texts).filter(
            lambda run: run.data
        ),
        min_size=1,
        max_size=12,
    ),
    st.tuples(st.integers(0, 300), st.integers(0, 900)) | st.just((0, 0)),
)


@pytest.mark.usefixtures("small_blocks")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(log=logs, data=st.data())
def test_windows_are_those_of_a_reader_of_the_whole(tmp_path, log, data) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    state = log.write(tmp_path)
    naive = Naive(log).rows
    before, behind = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    with LogReader.open(tmp_path) as reader:
        index = LineIndex(tmp_path, reader)
        at = data.draw(st.integers(0, state.end))
        unnumbered = read_window(reader, index, state, Wanted(at, None, before, behind))
        complete(reader, index)
        total = naive[-1][0]
        for stream in (None, STDOUT, STDERR):
            found = read_window(reader, index, state, Wanted(at, None, before, behind, stream))
            place = max((n for n, row in enumerate(naive) if row[1] <= at), default=0)
            if log.dropped[0] <= at < log.dropped[1]:
                place += 1
            ours = [n for n, row in enumerate(naive) if stream in (None, row[4])]
            earlier = [n for n in ours if n < place]
            later = [n for n in ours if n >= place][: behind + 1]
            wanted = (earlier[-before:] if before else []) + later
            assert told(found) == [naive[n] for n in wanted]
            assert found.total == total
            assert found.indexed == state.end
            if stream is None:
                assert [row[1:] for row in told(unnumbered)] == [naive[n][1:] for n in wanted]
        line = data.draw(st.integers(1, total))
        for asked in (line, line - total - 1):
            found = read_window(reader, index, state, Wanted(None, asked, 0, 0))
            assert told(found)[0] == next(row for row in naive if row[0] == line)
        assert not read_window(reader, index, state, Wanted(None, total + 1, 3, 3)).lines


@pytest.mark.usefixtures("small_blocks")
def test_a_walk_by_windows_meets_each_row_once_either_way(tmp_path) -> None:
    data = b"".join(b"%d %s\n" % (n, b"x" * (n * 37 % 250)) for n in range(200))
    put(tmp_path, data)
    with LogReader.open(tmp_path) as reader:
        index = LineIndex(tmp_path, reader)
        complete(reader, index)
        state = reader.state()
        forward, place = b"", 0
        while place < len(data):
            found = read_window(reader, index, state, Wanted(place, None, 0, 6))
            assert found.begin == place
            forward += b"".join(line.data for line in found.lines)
            place = found.end
        assert forward == data
        backward = b""
        while place:
            found = read_window(reader, index, state, Wanted(place - 1, None, 6, 0))
            assert found.end == place
            backward = b"".join(line.data for line in found.lines) + backward
            place = found.begin
        assert backward == data


@pytest.mark.usefixtures("small_blocks")
def test_a_line_of_just_a_block_is_not_cut(tmp_path) -> None:
    whole = b"x" * (BLOCK - 1) + b"\n"
    put(tmp_path, whole + b"y" * BLOCK + b"\n" + b"z\n")
    with LogReader.open(tmp_path) as reader:
        index = LineIndex(tmp_path, reader)
        complete(reader, index)
        found = read_window(reader, index, reader.state(), Wanted(BLOCK, None, 1, 1))
        assert [line.data for line in found.lines] == [whole, b"y" * BLOCK + b"\n", b"z\n"]


def damaged(path: Path, how: str) -> None:
    raw = bytearray(path.read_bytes())
    match how:
        case "truncated":
            raw = raw[: len(raw) // 2 + 5]
        case "longer":
            raw += raw[-ENTRY_BYTES:]
        case "empty":
            raw.clear()
        case "noise":
            raw[:] = bytes(range(256)) * (len(raw) // 256 + 1)
        case "one bit":
            raw[-ENTRY_BYTES + 9] ^= 1
        case "in the middle":
            raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "how",
    ["truncated", "longer", "empty", "noise", "one bit", "in the middle", "gone", "directory"],
)
def test_a_damaged_index_is_not_trusted_and_made_anew(tmp_path, how) -> None:
    data = b"".join(b"line %d\n" % n for n in range(1, 400))
    put(tmp_path, data)
    path = tmp_path / LINES_NAME
    with LogReader.open(tmp_path) as reader:
        complete(reader, LineIndex(tmp_path, reader))
        good = path.read_bytes()
        if how in ("gone", "directory"):
            path.unlink()
            if how == "directory":
                path.mkdir()
        else:
            damaged(path, how)
        index = LineIndex(tmp_path, reader)
        for _ in range(3):  # what is found to be damaged while it is used is made anew
            complete(reader, index)
            for line in range(1, 400, 7):
                found = read_window(reader, index, reader.state(), Wanted(None, line, 0, 0))
                assert all(row.number == line for row in found.lines if row.number is not None)
        for line in range(1, 400):
            found = read_window(reader, index, reader.state(), Wanted(None, line, 0, 0))
            assert found.lines[0].data == b"line %d\n" % line
        if how != "directory":
            assert path.read_bytes() == good


@pytest.mark.usefixtures("small_blocks")
def test_the_index_of_another_log_is_not_taken(tmp_path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    put(mine, b"a\n" * 500)
    put(other, b"\n" * 1000)
    for directory in (mine, other):
        with LogReader.open(directory) as reader:
            complete(reader, LineIndex(directory, reader))
    (other / LINES_NAME).replace(mine / LINES_NAME)
    with LogReader.open(mine) as reader:
        index = LineIndex(mine, reader)
        complete(reader, index)
        found = read_window(reader, index, reader.state(), Wanted(999, None, 0, 0))
        assert (found.lines[0].number, found.total) == (500, 500)


@pytest.mark.usefixtures("small_blocks")
def test_it_goes_on_as_the_log_grows_and_others_take_that_over(tmp_path) -> None:
    data = b"".join(b"line %d\n" % n for n in range(1, 400))
    put(tmp_path, data[:1000], closed=False)
    with LogReader.open(tmp_path) as reader:
        first, second = LineIndex(tmp_path, reader), LineIndex(tmp_path, reader)
        complete(reader, first)
        with (tmp_path / OUTPUT_NAME).open("r+b") as output:
            for end in range(1077, len(data), 77):
                output.seek(0)
                output.write(data[:end])
                output.flush()
                with (tmp_path / INDEX_NAME).open("r+b") as runs:
                    runs.write(LogState(end, end).pack())
                state = reader.state()
                assert not is_numbered(reader, second, state, Wanted(None, -1, 0, 0))
                complete(reader, first if end % 2 else second)
                complete(reader, second)
                found = read_window(reader, second, state, Wanted(None, -1, 0, 0))
                assert found.total == data[: end - 1].count(b"\n") + 1
                assert data[:end].endswith(found.lines[0].data)
        assert (tmp_path / LINES_NAME).stat().st_size == (end // BLOCK + 1) * ENTRY_BYTES


@pytest.mark.usefixtures("small_blocks")
def test_many_make_it_at_once(tmp_path) -> None:
    data = b"".join(b"line %d\n" % n for n in range(1, 2000))
    put(tmp_path, data)
    wrong: list[object] = []
    with LogReader.open(tmp_path) as reader:

        def work(index: LineIndex) -> None:
            complete(reader, index)
            found = read_window(reader, index, reader.state(), Wanted(None, 1234, 0, 0))
            if found.lines[0].data != b"line 1234\n":
                wrong.append(found)

        shared = LineIndex(tmp_path, reader)
        indexes = [shared] * 4 + [LineIndex(tmp_path, reader) for _ in range(4)]
        threads = [threading.Thread(target=work, args=(index,)) for index in indexes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(FUSE_S)
        assert not wrong
        late = LineIndex(tmp_path, reader)
        late.advance(reader.state())
        work(late)
        assert not wrong


def test_one_that_is_killed_while_it_makes_it_leaves_what_others_go_on_with(
    tmp_path, start_child
) -> None:
    data = b"".join(b"line %d\n" % n for n in range(1, 600_000))
    put(tmp_path, data)
    path = tmp_path / LINES_NAME
    for steps in (1, 2, 3):
        path.unlink(missing_ok=True)
        child = start_child("indexing_child.py", tmp_path)
        assert child.stdout.readline() == b"ready\n"
        until(lambda steps=steps: path.exists() and path.stat().st_size > steps * ENTRY_BYTES)
        child.kill()
        child.wait(FUSE_S)
        with LogReader.open(tmp_path) as reader:
            index = LineIndex(tmp_path, reader)
            state = reader.state()
            while index.known(KeptLog(reader, state)) < state.end:
                index.advance(state)
            for line in (1, 300_000, 599_999):
                found = read_window(reader, index, state, Wanted(None, line, 0, 0))
                assert found.lines[0].data == b"line %d\n" % line


@pytest.mark.usefixtures("small_blocks")
def test_colours_are_right_from_any_place(tmp_path) -> None:
    palette = [b"\x1b[31m", b"\x1b[1;38;5;200m", b"\x1b[0m", b"\x1b[48;2;1;2;3m", b"\x1b[39m", b""]
    data = b"".join(b"%s %d\n" % (palette[n * 7 % 6], n) for n in range(300))
    put(tmp_path, data)
    with LogReader.open(tmp_path) as reader:
        index = LineIndex(tmp_path, reader)
        assert read_window(reader, index, reader.state(), Wanted(2000, None, 0, 0)).style is None
        complete(reader, index)
        for at in range(0, len(data), 13):
            found = read_window(reader, index, reader.state(), Wanted(at, None, 0, 0))
            assert found.style == after(PLAIN, data[: found.begin]).sequence()


def test_a_long_line_is_cut_between_characters(tmp_path) -> None:
    data = b"ab" + "\N{EURO SIGN}".encode() * 100_000 + b"\nend\n"
    put(tmp_path, data)
    with LogReader.open(tmp_path) as reader:
        index = LineIndex(tmp_path, reader)
        complete(reader, index)
        found = read_window(reader, index, reader.state(), Wanted(0, None, 0, 100))
        assert b"".join(line.data for line in found.lines) == data
        assert [line.number for line in found.lines] == [1] * 5 + [2]
        for line in found.lines:
            line.data.decode()


def test_one_window_has_a_megabyte_at_most(tmp_path) -> None:
    put(tmp_path, (b"x" * 50_000 + b"\n") * 100)
    with LogReader.open(tmp_path) as reader:
        index = LineIndex(tmp_path, reader)
        complete(reader, index)
        found = read_window(reader, index, reader.state(), Wanted(2_500_000, None, 40, 40))
        assert 900_000 < sum(len(line.data) for line in found.lines) <= window.MAX_TEXT_BYTES
        assert found.begin < 2_500_000 < found.end


# Colours


def test_styles_are_told_by_one_sequence() -> None:
    for raw, sequence in {
        b"\x1b[31m": "\x1b[31m",
        b"\x1b[1m\x1b[4m\x1b[91m": "\x1b[1;4;91m",
        b"\x1b[38;5;9m": "\x1b[91m",
        b"\x1b[38;5;123;1m": "\x1b[1;38;5;123m",
        b"\x1b[38:2::1:2:3m": "\x1b[38;2;1;2;3m",
        b"\x1b[38:2:1:2:3m": "\x1b[38;2;1;2;3m",
        b"\x1b[48;2;300;2;3m": "\x1b[48;2;255;2;3m",
        b"\x1b[4:3m": "\x1b[4m",
        b"\x1b[1;22;3;23m": "",
        b"\x1b[31mx\x1bcy": "",
        b"\x1b[31mx\x1b[my": "",
        b"\x1b[31mx\x1b[;1m": "\x1b[1m",
        b"\x1b[7;27;9;29;53;55;21;24m": "",
        b"\x1b[31": "",
        b"\x1b[38;5m": "\x1b[30m",
        b"\x1b[38m\x1b[99;100000m": "",
        b"\x1b[:m\x1b[4:m\x1b[38:m": "",
        b"\x1b[2J\x1b]0;x\x07": "",
    }.items():
        style = after(PLAIN, raw)
        assert style.sequence() == sequence
        assert after(PLAIN, sequence.encode()) == style
        assert Style.unpack(style.pack()) == style


@given(
    st.lists(st.sampled_from([b"0", b"1", b"31", b"39", b"", b"38;5;7", b"22", b"4:3", b":", b"x"]))
)
def test_a_text_may_be_cut_between_sequences(parts) -> None:
    raw = [b"text\x1b[" + part + b"m" for part in parts]
    style = PLAIN
    for each in raw:
        style = after(style, each)
    assert after(PLAIN, b"".join(raw)) == style
    for overlap in range(len(raw)):
        assert after(style, b"".join(raw[overlap:])) == style

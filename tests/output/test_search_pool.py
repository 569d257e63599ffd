"""Searches in real processes: bounded, in turns, and over when nobody wants them any more."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
import re2
from leaks import descriptors
from made_logs import MadeLog, Run

from service.errors import BadQuery, CorruptLog, Unavailable
from service.output.found_line import FoundLine
from service.output.index import STDERR, STDOUT
from service.output.search.pattern import compiled
from service.output.search.pool import SearchPool
from service.output.search.request import FoundGap, Grep, SearchRequest
from service.output.search.search import Search
from service.output.selection import EVERYTHING, Selection


def request(
    directory: Path, pattern: str, selection: Selection = EVERYTHING, **more
) -> SearchRequest:
    grep = {
        name: more.pop(name)
        for name in ("most", "context", "inverts", "ignores_case")
        if name in more
    }
    options = {
        "marks_gaps": True,
        "attributes": False,
        "counts": True,
        "begin": 0,
        "end": 1 << 40,
        **more,
    }
    return SearchRequest(
        directory=str(directory), selection=selection, grep=Grep(pattern=pattern, **grep), **options
    )


async def all_of(pool: SearchPool, wanted: SearchRequest):
    found = []
    async with pool.search(wanted) as search:
        while True:
            part = await search.next()
            found += part.found
            if part.is_last:
                return found, part


def test_lines_are_found_with_their_places_streams_commands_and_times(run, job_dir):
    MadeLog(
        [
            Run(STDOUT, 0, 7, b"one\nt"),
            Run(STDERR, 0, 8, b"ERR two\n"),
            Run(STDOUT, 1, 9, b"two\xff\n"),
        ]
    ).write(job_dir)

    async def check():
        pool = SearchPool()
        found, last = await all_of(pool, request(job_dir, "two", attributes=True))
        assert [
            (
                x.chunk.offset,
                x.chunk.stream,
                x.chunk.command,
                x.chunk.time_ns,
                x.chunk.data,
                x.number,
            )
            for x in found
        ] == [
            (4, STDOUT, 0, 7, b"tERR two\n", 2),
            (13, STDOUT, 1, 9, b"two\xff\n", 3),
        ]
        assert (last.count, last.offset) == (2, 18)
        found, last = await all_of(
            pool, request(job_dir, "two", Selection(stream=STDOUT), attributes=True)
        )
        assert [(x.chunk.offset, x.chunk.stream_offset, x.chunk.data) for x in found] == [
            (4, 4, b"ttwo\xff\n")
        ]
        found, last = await all_of(pool, request(job_dir, "ERR", Selection(command=1)))
        assert (found, last.count) == ([], 0)
        await pool.close()

    run(check())


def test_a_gap_is_told_of_or_ends_the_search(run, job_dir):
    MadeLog(
        [
            Run(STDOUT, 0, 1, b"hit 1\nhit 2 l"),
            Run(STDOUT, 0, 2, b"ost\n"),
            Run(STDOUT, 0, 3, b"hit 3\n"),
        ],
        (13, 17),
    ).write(job_dir)

    async def check():
        pool = SearchPool()
        found, last = await all_of(pool, request(job_dir, "hit"))
        assert [x if isinstance(x, FoundGap) else x.chunk.data for x in found] == [
            b"hit 1\n",
            b"hit 2 l",
            FoundGap(13, 17),
            b"hit 3\n",
        ]
        found, last = await all_of(pool, request(job_dir, "hit", marks_gaps=False))
        assert [x.chunk.data for x in found] == [b"hit 1\n", b"hit 2 l"]
        assert (last.dropped_until, last.offset) == (17, 13)
        await pool.close()

    run(check())


def test_what_is_found_comes_in_bounded_parts_and_the_end_is_counted_or_not(run, job_dir):
    MadeLog([Run(STDOUT, 0, 1, b"some line\n" * 300_000)]).write(job_dir)

    async def check():
        pool = SearchPool()
        async with pool.search(request(job_dir, "line")) as search:
            part = await search.next()
            assert not part.is_last
            assert 1 <= len(part.found) < 30_000
        found, last = await all_of(pool, request(job_dir, "line", most=2))
        assert (len(found), last.count) == (2, 300_000)
        found, last = await all_of(pool, request(job_dir, "line", most=2, counts=False))
        assert len(found) == 2
        assert last.offset < 1_000_000
        await pool.close()

    run(check())


def test_searches_take_turns_and_one_that_isn_t_taken_holds_no_other_up(run, job_dir):
    MadeLog([Run(STDOUT, 0, 1, b"x" * 99 + b"\n")] * 200_000).write(job_dir)

    async def check():
        pool = SearchPool()
        stalled = [pool.search(request(job_dir, "x")) for _ in range(10)]
        for search in stalled:
            await search.__aenter__()
            await search.next()
        results = await asyncio.gather(*(all_of(pool, request(job_dir, "y|xz")) for _ in range(10)))
        assert [last.count for _, last in results] == [0] * 10
        assert len(pool._processes) == 2
        for search in stalled:
            await search.__aexit__(None, None, None)
        assert [process.searches for process in pool._processes] == [0, 0]
        await pool.close()

    run(check())


def test_a_search_that_is_left_ends_and_its_log_is_let_go(run_stock, job_dir):
    MadeLog([Run(STDOUT, 0, 1, b"x\n")]).write(job_dir)

    async def check():
        pool = SearchPool()
        waiting = asyncio.ensure_future(all_of(pool, request(job_dir, "x" * 5)))
        await asyncio.wait_for(waiting, 60)
        (process,) = pool._processes
        # Its next answer comes after it has heard of the end of the one before.
        await all_of(pool, request(job_dir, "y"))
        async with pool.search(request(job_dir, "y")) as search:
            await search.next()
            opened = descriptors(process._process.pid).values()
            logs = [target for target in opened if str(job_dir) in target]
            assert len(logs) == 2
        await pool.close()
        assert process._process.returncode is not None

    run_stock(check())


def test_a_process_that_dies_fails_its_searches_and_is_replaced(run_stock, job_dir):
    MadeLog([Run(STDOUT, 0, 1, b"x\n")]).write(job_dir)

    async def check():
        pool = SearchPool()
        async with pool.search(request(job_dir, "x")) as search:
            (process,) = pool._processes
            os.kill(process._process.pid, signal.SIGKILL)
            with pytest.raises(Unavailable):
                await search.next()
        found, _ = await all_of(pool, request(job_dir, "x"))
        assert isinstance(found[0], FoundLine)
        with pytest.raises(CorruptLog):
            await all_of(pool, request(job_dir / "none", "x"))
        await pool.close()
        with pytest.raises(Unavailable):
            await all_of(pool, request(job_dir, "x"))

    run_stock(check())


def test_a_pattern_that_is_expensive_to_compile_holds_no_event_loop_up(run):
    async def check():
        pool = SearchPool()
        with pytest.raises(BadQuery, match="missing \\)"):
            await pool.check(Grep(pattern="("))
        compiling = asyncio.ensure_future(pool.check(Grep(pattern=r"[^\pL\pN\pS]{200}")))
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            if not compiling.done():
                asyncio.get_running_loop().call_soon(turn)

        turn()
        await compiling
        assert turns > 100
        await pool.close()

    run(check())


def test_a_part_is_bounded_in_time_as_well(job_dir, monkeypatch):
    MadeLog([Run(STDOUT, 0, 1, b"some line\n" * 300_000)]).write(job_dir)
    monkeypatch.setattr("service.output.search.search._PART_S", 0)
    searching = Search(request(job_dir, "nothing"))
    parts = [searching.next()]
    while not parts[-1].is_last:
        parts.append(searching.next())
    searching.close()
    assert len(parts) > 10
    assert [part.offset for part in parts] == sorted({part.offset for part in parts[:-1]}) + [
        parts[-1].offset
    ]


def test_what_nobody_waits_for_any_more_takes_no_turn(run):
    async def check():
        pool = SearchPool()
        await asyncio.gather(*(pool.check(Grep(pattern=each)) for each in "xy"))
        pids = {process._process.pid for process in pool._processes}
        assert len(pids) == 2  # as many as there may be
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            waiting = [
                asyncio.ensure_future(pool.check(Grep(pattern=rf"[^\pL\pN\pS]{{{100 + n}}}")))
                for n in range(50)
            ]
            await asyncio.wait(waiting, timeout=0.1)
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        before = seconds_used(pids)
        await asyncio.gather(*(pool.check(Grep(pattern="x")) for _ in range(10)))
        # Each of them would take a quarter of a second.
        assert seconds_used(pids) - before < 3
        await pool.close()

    run(check())


def seconds_used(pids: set[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_the_engine_keeps_no_compiled_patterns():
    assert compiled("one").search(b"one", 0) is not None
    assert compiled("(?i)two").search(b"TWO", 0) is not None
    assert re2._Regexp._make.cache_info().currsize == 0

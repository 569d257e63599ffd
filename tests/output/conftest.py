"""Real pipes, real files and both event loops for the tests of the output log."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

import service.output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

FUSE_S = 300
"""A test that hangs fails after this time; none waits for it."""

_IMPORT_PATH = f"{Path(service.output.__file__).parents[2]}:{Path(__file__).parents[1] / 'tools'}"


class Pipe:
    """A pipe whose ends are closed at the end of the test, if nobody did so before."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.writer, True)

    def write(self, data: bytes) -> None:
        assert os.write(self.writer, data) == len(data)

    def end(self) -> None:
        """Closes the writing end."""
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)

    def take_reader(self) -> int:
        """Gives the reading end away: the taker closes it."""
        reader, self.reader = self.reader, -1
        return reader

    def close(self) -> None:
        self.end()
        reader = self.take_reader()
        if reader >= 0:
            os.close(reader)


@pytest.fixture
def make_pipe() -> Iterator[Callable[[], Pipe]]:
    """Makes pipes."""
    made: list[Pipe] = []

    def make() -> Pipe:
        made.append(Pipe())
        return made[-1]

    yield make
    for pipe in made:
        pipe.close()


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    """The directory of one job."""
    path = tmp_path / "job"
    path.mkdir()
    return path


def _run(factory: Callable[[], asyncio.AbstractEventLoop]) -> Callable[[Awaitable[object]], None]:
    def run(test: Awaitable[object]) -> None:
        async def fused() -> None:
            async with asyncio.timeout(FUSE_S):
                await test
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(fused())

    return run


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[object]], None]:
    """Runs a coroutine to its end, once on each kind of loop."""
    return _run(request.param)


@pytest.fixture
def run_stock() -> Callable[[Awaitable[object]], None]:
    """Runs a coroutine to its end on the standard library's loop."""
    return _run(asyncio.new_event_loop)


@pytest.fixture
def start_child() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts one of the programs beside the tests; it is dead when the test is over."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *args: object, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(name)), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=pass_fds,
            # The whole environment, as coverage finds its way into children through it.
            env={**os.environ, "PYTHONPATH": _IMPORT_PATH},  # noqa: TID251
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        with child:
            pass


@contextmanager
def _mounted(path: Path, size: str) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        # Lazily: a test that failed may have left a file open in there.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    with _mounted(path, "1m"):
        yield path

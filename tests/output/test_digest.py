"""The digest of a log: of all its bytes, computed while it is read, and kept once it is closed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import subprocess
from typing import TYPE_CHECKING

import pytest
from log_readers import FakeSink, subscribed, watching

from service.output import digest
from service.output.index import STDOUT
from service.output.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.output.conftest import Pipe


@pytest.fixture
def put(job_dir: Path, make_pipe: Callable[[], Pipe]):
    log = LogWriter.create(job_dir)
    pipe = make_pipe()

    def put(data: bytes) -> None:
        for at in range(0, len(data), 60_000):
            pipe.write(data[at : at + 60_000])
            log.splice_from(pipe.reader, STDOUT, 0)

    put.log = log
    yield put
    log.detach()


async def read_and_digest(directory: Path, *, digests: bool = True) -> tuple[bytes, str | None]:
    with watching() as watcher, subscribed(watcher, directory) as subscription:
        sink = FakeSink()
        await subscription.copy_to(sink, digests=digests)
        return bytes(sink.all), await subscription.digest()


def test_it_is_kept_as_sha256sum_would_have_it(job_dir, put) -> None:
    put(data := os.urandom(200_000))
    put.log.close(complete=True)
    expected = hashlib.sha256(data).hexdigest()
    assert asyncio.run(read_and_digest(job_dir)) == (data, expected)
    assert digest.kept(job_dir) == expected
    subprocess.run(
        ["sha256sum", "--check", "--strict", digest.DIGEST_NAME], cwd=job_dir, check=True
    )
    (job_dir / digest.DIGEST_NAME).write_text(f"{'0' * 64}  output\n")
    assert asyncio.run(read_and_digest(job_dir))[1] == "0" * 64  # not computed again


@pytest.mark.parametrize("damage", [b"", b"x", b"0" * 64, b"0" * 63 + b"  output\n"])
def test_a_damaged_one_is_computed_again(job_dir, put, damage) -> None:
    put(b"abc")
    put.log.close(complete=True)
    (job_dir / digest.DIGEST_NAME).write_bytes(damage)
    assert digest.kept(job_dir) is None
    expected = hashlib.sha256(b"abc").hexdigest()
    assert asyncio.run(read_and_digest(job_dir, digests=False))[1] == expected
    assert digest.kept(job_dir) == expected


def test_where_it_can_not_be_kept_it_is_told_all_the_same(job_dir, put) -> None:
    put(b"abc")
    put.log.close(complete=True)
    (job_dir / digest.DIGEST_NAME).mkdir()
    (job_dir / digest.DIGEST_NAME / "x").touch()
    expected = hashlib.sha256(b"abc").hexdigest()
    assert asyncio.run(read_and_digest(job_dir))[1] == expected
    assert digest.kept(job_dir) is None


def test_of_a_long_log_most_is_done_while_it_is_read(job_dir, put, monkeypatch) -> None:
    monkeypatch.setattr(digest, "STEP_BYTES", 100_000)
    monkeypatch.setattr("service.output.subscription.STEP_BYTES", 100_000)
    put(data := os.urandom(3_000_000))
    put.log.close(complete=True)

    async def scenario() -> str | None:
        with watching() as watcher, subscribed(watcher, job_dir) as subscription:
            sink = FakeSink()
            await subscription.copy_to(sink, digests=True)
            if (step := subscription._log.hash_on(0)) is not None:  # begun by reading, no other
                await step
            assert subscription._log.hashed > 0
            found = await asyncio.gather(*(subscription.digest() for _ in range(3)))
            assert len(set(found)) == 1
            return found[0]

    assert asyncio.run(scenario()) == hashlib.sha256(data).hexdigest()


def test_one_that_was_not_closed_is_not_kept(job_dir, put) -> None:
    put(b"abc")

    async def scenario() -> str | None:
        with watching() as watcher, subscribed(watcher, job_dir, follow=False) as subscription:
            return await subscription.digest()

    assert asyncio.run(scenario()) == hashlib.sha256(b"abc").hexdigest()
    assert digest.kept(job_dir) is None


def test_a_log_with_a_gap_has_none(job_dir, make_pipe) -> None:
    log = LogWriter.create(job_dir, limit=200_000)
    pipe = make_pipe()
    for _ in range(20):
        pipe.write(b"x" * 60_000)
        log.splice_from(pipe.reader, STDOUT, 0)
    log.close(complete=True)
    log.detach()

    async def scenario() -> str | None:
        with watching() as watcher, subscribed(watcher, job_dir) as subscription:
            assert subscription.state.gap.end
            return await subscription.digest()

    assert asyncio.run(scenario()) is None
    assert digest.kept(job_dir) is None


def test_what_could_not_be_written_leaves_no_file(job_dir) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as a full disk: a file, but no byte
    try:
        digest.keep(job_dir, digest.EMPTY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in job_dir.iterdir() if digest.DIGEST_NAME in path.name]

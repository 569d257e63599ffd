"""Files of jobs through the client library and `jobrunner cp`."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import jobrunner
import pytest
from running import Service

pytestmark = [pytest.mark.e2e, pytest.mark.once]

PROGRAM = Path(sys.executable).parent / "jobrunner"


@pytest.fixture
def client(service: Service):
    with jobrunner.Client(service.url) as client:
        yield client


@pytest.fixture
def held(client: jobrunner.Client):
    job = client.submit({"CommandLine": "sha256sum f", "Hold": True})
    yield job
    job.request_kill()


def cp(service: Service, *words: str, status: int = 0, given: bytes | None = None, **options):
    environment = {"PATH": os.environ["PATH"], "JOBRUNNER_URL": service.url}  # noqa: TID251 - as a shell has it
    done = subprocess.run(
        [PROGRAM, "cp", *words],
        input=given,
        capture_output=True,
        check=False,
        env=environment,
        **options,
    )
    assert done.returncode == status, done.stderr
    return done


def test_files_are_written_listed_read_and_removed(held: jobrunner.Job):
    assert held.files.is_directory("in") is None
    entry = held.files.write("in/a b", b"hello", mode=0o600)
    assert (entry.size, entry.mode) == (5, "0600")
    assert held.files.is_directory("in") is True
    assert held.files.is_directory("in/a b") is False
    held.files.write(b"in/\xff", io.BytesIO(b"x" * 700_000))
    held.files.write("in/pieces", iter([b"a", b"b"]))
    listed = list(held.files.list("in"))
    assert [(e.path, e.size) for e in listed] == [("a%20b", 5), ("pieces", 2), ("%FF", 700_000)]
    assert next(e.name for e in held.files.list(recursive=True)) == "in"
    assert held.files.read("in/a b", offset=2).text == "llo"
    assert held.files.read("in/a b", offset=5) == b""
    assert held.files.read(os.fsdecode(b"in/\xff")) == b"x" * 700_000
    with pytest.raises(jobrunner.PreconditionFailed):
        held.files.write("in/pieces", b"", only_new=True)
    with pytest.raises(jobrunner.DirectoryNotEmpty):
        held.files.delete("in")
    held.files.delete("in", recursive=True)
    with pytest.raises(jobrunner.UnknownFile):
        held.files.read("in/pieces")


def test_archives_move_both_ways(held: jobrunner.Job):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("d/f")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    assert held.files.extract(made.getvalue(), "into", form="tar.gz") == 1
    data = b"".join(held.files.archive("into"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["d", "d/f"]
    with pytest.raises(jobrunner.BadArchive):
        held.files.extract(b"no tar" * 100)


def test_the_same_in_an_event_loop(service: Service):
    async def visit() -> None:
        async with jobrunner.AsyncClient(service.url) as client:
            job = await client.submit({"CommandLine": "cat f", "Hold": True})
            await job.files.write("f", io.BytesIO(b"x" * 600_000))
            await job.files.write("g", b"y")
            assert [entry.name async for entry in job.files.list()] == ["f", "g"]
            assert (await job.files.read("f", offset=599_998)) == b"xx"
            assert await job.files.is_directory("")
            data = b"".join([piece async for piece in job.files.archive()])
            assert await job.files.extract(data, "copy") == 2
            await job.files.delete("copy", recursive=True)
            assert (await job.release()).hold is False
            assert (await job.wait()).exit_code == 0

    asyncio.run(visit())


def test_a_file_is_copied_in_and_out(service: Service, held: jobrunner.Job, tmp_path: Path):
    source = tmp_path / "run me.sh"
    source.write_bytes(b"#!/bin/sh\n")
    source.chmod(0o750)
    cp(service, str(source), f"{held.id}:")
    cp(service, str(source), f"{held.id}:dir/")
    cp(service, str(source), f"{held.id}:dir/other")
    names = [entry.name for entry in held.files.list(recursive=True)]
    assert names == ["dir", "dir/other", "dir/run me.sh", "run me.sh"]
    assert next(iter(held.files.list("dir"))).mode == "0750"
    cp(service, f"{held.id}:dir/other", str(tmp_path))
    assert (tmp_path / "other").read_bytes() == source.read_bytes()
    cp(service, f"{held.id}:dir/other", "new", cwd=tmp_path)
    assert (tmp_path / "new").read_bytes() == source.read_bytes()
    assert cp(service, f"{held.id}:dir/other", "-").stdout == source.read_bytes()
    cp(service, "-", f"{held.id}:stdin", given=b"given")
    assert held.files.read("stdin") == b"given"


def test_directories_are_copied_as_docker_copies_them(
    service: Service, held: jobrunner.Job, tmp_path: Path
):
    source = tmp_path / "src"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "f").write_text("f")
    (source / "link").symlink_to("deep/f")
    os.mkfifo(source / "fifo")
    done = cp(service, str(source), f"{held.id}:new")  # there is none: it is called so
    assert b"fifo is neither" in done.stderr
    cp(service, str(source), f"{held.id}:new")  # there is one: it goes in there
    cp(service, f"{source}/.", f"{held.id}:contents")
    names = [e.name for e in held.files.list(recursive=True) if e.type != "directory"]
    expected = ["deep/f", "link"]
    assert names == [
        *(f"contents/{name}" for name in expected),
        "new/deep/f", "new/link", "new/src/deep/f", "new/src/link",
    ]  # fmt: skip
    cp(service, f"{held.id}:contents", str(tmp_path / "a"))
    cp(service, f"{held.id}:contents", str(tmp_path / "a"))
    cp(service, f"{held.id}:contents/.", str(tmp_path / "b"))
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("f"))
    assert found == ["a/contents/deep/f", "a/deep/f", "b/deep/f", "src/deep/f"]
    assert os.readlink(tmp_path / "b" / "link") == "deep/f"
    tar = cp(service, f"{held.id}:contents", "-").stdout
    cp(service, "--extract", "-", f"{held.id}:again", given=tar)
    assert [e.name for e in held.files.list("again", recursive=True)] == ["deep", "deep/f", "link"]


def test_what_cannot_be_copied_is_told(service: Service, held: jobrunner.Job, tmp_path: Path):
    assert b"no file" in cp(service, f"{held.id}:none", str(tmp_path / "x"), status=125).stderr
    assert not (tmp_path / "x").exists()
    assert b"No such file" in cp(service, str(tmp_path / "x"), f"{held.id}:x", status=125).stderr
    cp(service, "a", "b", status=2)
    cp(service, f"{held.id}:a", f"{held.id}:b", status=2)
    cp(service, "-", f"{held.id}:dir/", status=2, given=b"")


def test_a_held_job_is_released_by_name(service: Service, tmp_path: Path):
    (tmp_path / "f").write_bytes(b"abc")
    line = "jobrunner run -d --hold -n held-one -- cat f && jobrunner cp f held-one:"
    line += " && jobrunner release held-one && jobrunner attach held-one"
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"  # noqa: TID251 - as a shell has it
    shown = subprocess.run(
        ["bash", "-c", line],
        env={"PATH": path, "JOBRUNNER_URL": service.url},
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.endswith(b"\nabc")

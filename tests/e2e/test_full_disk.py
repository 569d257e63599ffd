"""A disk that is really full, without a share for root: whatever filled it, all of it is undone over
HTTP, by killing and cleaning, and then everything works as before.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from answers import assert_problem
from running import Service, running
from waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# What fills the disk, whoever makes room meanwhile, and goes on until it is killed.
IN_A_LOOP = "while :; do cat /dev/zero >> big.$RANDOM 2> /dev/null; done"
FILLERS = {
    "working directory": f"echo begun; {IN_A_LOOP}",
    "output": "echo begun; exec cat /dev/zero",
    "both": f"echo begun; ({IN_A_LOOP}) & exec cat /dev/zero",
}


def mount_or_skip(*arguments: str | Path) -> None:
    mounted = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mount(8) isn't permitted here: {mounted.stderr.decode().strip()}")


@contextlib.contextmanager
def mounted(tmp_path: Path, kind: str, size: int, *options: str) -> Iterator[Path]:
    """A small file system of the test's own, of which root has no share."""
    path, image = tmp_path / "disk", tmp_path / "image"
    path.mkdir()
    if kind == "tmpfs":
        mount_or_skip("-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "test", path)
    else:
        make = {
            "xfs": ["mkfs.xfs", "-q", image],
            "ext4 of small blocks": ["mkfs.ext4", "-q", "-b", "1024", "-m", "0", image],
        }[kind]
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run(make, check=True, capture_output=True)
        mount_or_skip("-o", "loop", image, path)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextlib.contextmanager
def unready(state_dir: Path) -> Iterator[Service]:
    """A service that serves, though it takes no job."""
    service = Service(state_dir)
    try:
        service.wait_for_line("worker_ready")
        yield service
    finally:
        service.close()


def room(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def fill_by(service: Service, disk: Path, filler: str) -> str:
    """A job that has filled the disk, and would again."""
    job_id = service.submit({"CommandLine": FILLERS[filler], "Grace": 2})
    until(lambda: room(disk) <= 1 << 20)
    return job_id


@pytest.mark.parametrize(
    ("kind", "size", "filler"),
    [
        ("tmpfs", 64 << 20, "working directory"),
        ("tmpfs", 64 << 20, "output"),
        ("xfs", 320 << 20, "both"),
        ("ext4 of small blocks", 64 << 20, "both"),
    ],
)
def test_a_job_that_fills_the_disk_is_killed_and_cleaned_over_http(
    tmp_path: Path, kind: str, size: int, filler: str
):
    with mounted(tmp_path, kind, size) as disk, running(disk / "state") as service:
        before = room(disk)
        other = service.run("echo kept")["ID"]
        waiting = service.submit("exec sleep 1000")
        job_id = fill_by(service, disk, filler)

        # XFS, when full, takes back what it allocated ahead: there is room for the moment that the job needs to fill it.
        until(lambda: service.client.post("/", json={"CommandLine": "true"}).status_code == 507)
        until(lambda: service.client.get("/health/ready").status_code == 503)
        assert service.output(other) == b"kept\n"

        assert service.kill(job_id, wait="true")["State"] == "killed"
        view = service.show(job_id)
        assert (view["State"], view["Reason"]) == ("killed", "requested")
        if (kind, filler) == ("tmpfs", "output"):  # elsewhere some room came back at once
            assert view["Output"]["Complete"] is False
        # The others can be ended and cleaned as well, while the disk is full.
        assert service.kill(waiting, wait="true", grace="0")["State"] == "killed"
        assert service.client.post(f"/{other}/clean").status_code == 200

        assert service.client.post(f"/{job_id}/clean").status_code == 200
        assert service.client.get(f"/{job_id}").status_code == 404
        until(lambda: room(disk) > before - (4 << 20))  # XFS frees blocks after unlink(2) returned
        assert service.client.get("/health/ready").status_code == 200
        again_id = service.run("echo again")["ID"]
        assert service.output(again_id) == b"again\n"
        reserve = (disk / "state" / "reserve").stat()
        assert reserve.st_blocks * 512 >= reserve.st_size > 1 << 20


def test_a_service_on_a_full_disk_ends_in_time_and_the_next_one_cleans(tmp_path: Path):
    with mounted(tmp_path, "tmpfs", 64 << 20) as disk:
        with running(disk / "state") as service:
            job_id = fill_by(service, disk, "both")
            assert service.stop() == 0
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                continue
        assert room(disk) == 0
        with unready(disk / "state") as successor:
            view = successor.show(job_id)
            assert (view["State"], view["Reason"]) == ("killed", "shutdown")
            assert_problem(successor.client.post("/", json={"CommandLine": "true"}), 507)
            assert successor.client.post(f"/{job_id}/clean").status_code == 200
            (disk / "ballast").unlink()
            assert successor.run("true")["ExitCode"] == 0


@pytest.mark.parametrize("left", [0, 128, 160, 400, 600, 900])
def test_a_start_on_a_nearly_full_disk_of_small_blocks_works_or_says_why(tmp_path: Path, left: int):
    with mounted(tmp_path, "ext4 of small blocks", 12 << 20) as disk:
        (disk / "ballast").write_bytes(bytes(max(0, room(disk) - (left << 10))))
        service = Service(disk / "state", "--single-process")
        try:
            line = service.wait_for_line("worker_starting|^jobrunner: The ")
            if line.startswith("jobrunner"):
                assert service.process.wait(300) == 2
                assert "No space left" in line
            else:
                assert left > 160
                service.wait_for_line("worker_ready")
                assert service.client.get("/health/ready").status_code == 503
                assert service.stop() == 0
        finally:
            service.close()


def test_without_inodes_submissions_get_507_and_readiness_says_why(tmp_path: Path):
    with mounted(tmp_path, "tmpfs", 64 << 20, "nr_inodes=400") as disk:
        with running(disk / "state") as service:
            taken = 0
            while os.statvfs(disk).f_favail > 20:
                (disk / f"file{taken}").touch()
                taken += 1
            problem = assert_problem(service.client.post("/", json={"CommandLine": "true"}), 507)
            assert "inodes" in problem["detail"]
            problem = assert_problem(service.client.get("/health/ready"), 503)
            assert "inodes" in problem["checks"]["room"]["Why"]
            for number in range(taken):
                (disk / f"file{number}").unlink()
            assert service.client.get("/health/ready").status_code == 200
            assert service.run("true")["ExitCode"] == 0

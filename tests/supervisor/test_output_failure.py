"""Output that can't be written: what heals is waited for, what doesn't ends the job with an error,
and a kill always does.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import until

from service.output.pump import FAILING_S

FLOOD = "echo begun; exec head -c 1000000 /dev/zero"


@contextmanager
def injected(pid: int, call: str, error: str) -> Iterator[None]:
    """The process gets this error from this system call, as from a disk that has it."""
    if shutil.which("strace") is None:
        pytest.skip("no strace")
    tracer = subprocess.Popen(
        ["strace", "-q", "-o", "/dev/null", "-p", str(pid), f"-einject={call}:error={error}"],
        stderr=subprocess.PIPE,
    )
    try:
        wait_traced(tracer, pid)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()


def wait_traced(tracer: subprocess.Popen[bytes], pid: int) -> None:
    """Until no system call escapes the tracer, which is some time after it is the process' tracer: it seizes it, then
    stops it, then waits for it.
    """

    def is_tracing() -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("TracerPid"))
        seized = int(line.split()[1]) == tracer.pid
        return seized and Path(f"/proc/{tracer.pid}/wchan").read_text() == "do_wait"

    until(lambda: tracer.poll() is not None or is_tracing())
    if tracer.poll() is not None:
        pytest.skip("no process can be traced here")


@pytest.mark.parametrize("error", ["EIO", "EROFS"])
def test_a_disk_that_goes_on_failing_ends_the_job_with_an_error(plain_supervisor, job, error):
    client = plain_supervisor.connect()
    begun = time.monotonic()
    with injected(plain_supervisor.pid, "splice", error):
        client.run(job, FLOOD, drain_s=0.1, grace_s=1)
        killing = client.event(job, "kill_requested")
        assert time.monotonic() - begun > FAILING_S
        assert killing["reason"] == "output"
        ended = client.event(job, "ended")
        finished = client.event(job, "finished")
    assert ended["killed"]
    assert os.strerror(getattr(errno, error)) in ended["error"]
    assert (finished["outcome"], finished["output_complete"]) == ("killed", False)
    # The next job finds the disk well.
    client.run(f"{job}-next", "echo fine", drain_s=1, grace_s=1)
    assert client.event(f"{job}-next", "finished")["output_complete"]


def test_a_disk_that_failed_for_a_moment_loses_nothing(plain_supervisor, job):
    client = plain_supervisor.connect()
    with injected(plain_supervisor.pid, "splice", "EIO"):
        client.run(job, FLOOD)
        client.event(job, "started")
        client.sync()
    finished = client.event(job, "finished")
    assert (finished["outcome"], finished["output_complete"]) == ("exited", True)
    assert client.output(job) == b"begun\n" + bytes(1_000_000)


def test_a_kill_ends_a_job_whose_quota_is_used_up(plain_supervisor, job, fifo):
    client, gate = plain_supervisor.connect(), fifo()
    with injected(plain_supervisor.pid, "splice", "EDQUOT"):
        client.run(job, f"echo lost; echo ready > {gate}; exec sleep 1000", drain_s=0.5)
        assert gate.line() == "ready"
        assert client.kill(job, grace_s=1)
        finished = client.event(job, "finished")
    assert (finished["outcome"], finished["output_complete"]) == ("killed", False)


def test_an_output_as_large_as_a_file_may_be_ends_the_job_at_once(
    start_supervisor: Callable[..., object], job
):
    supervisor = start_supervisor("--cgroup", "off")
    resource.prlimit(supervisor.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
    client = supervisor.connect()
    client.run(job, FLOOD, drain_s=0.1, grace_s=1)
    ended = client.event(job, "ended")
    assert os.strerror(errno.EFBIG) in ended["error"]
    finished = client.event(job, "finished")
    assert (finished["outcome"], finished["output_complete"]) == ("killed", False)
    assert finished["kill"]["reason"] == "output"
    assert client.output(job) == (b"begun\n" + bytes(200_000))[:200_000]


def test_a_log_that_cant_be_closed_holds_no_job_up(plain_supervisor, job):
    client = plain_supervisor.connect()
    client.run(job, "echo begun; read -r _", drain_s=0.1, grace_s=1)
    client.run(f"{job}-loud", "echo begun; exec sleep 1000", drain_s=0.1, grace_s=1)
    while not (plain_supervisor.state_dir / "logs" / f"{job}-loud" / "output").exists():
        client.sync()
    with injected(plain_supervisor.pid, "pwrite64", "EIO"):
        assert client.kill(f"{job}-loud", grace_s=0)
        finished = client.event(f"{job}-loud", "finished")
        assert finished["output_complete"] is False
    # Readers learn of its end as soon as the disk is well.
    assert "log_not_closed" in plain_supervisor.log
    while "log_closed_late" not in plain_supervisor.log:
        client.sync()


@pytest.mark.parametrize("one_pipe", [False, True])
def test_output_that_cannot_be_watched_is_a_start_that_failed(plain_supervisor, job, one_pipe):
    """The kernel's bound on watched descriptors (epoll(7), max_user_watches) is met after a spawn."""
    client = plain_supervisor.connect()
    before = sorted(os.listdir(f"/proc/{plain_supervisor.pid}/fd"))
    with injected(plain_supervisor.pid, "epoll_ctl", "ENOSPC"):
        client.run(job, "exec sleep 600", one_pipe=one_pipe, drain_s=0.1)
        refused = client.event(job, "refused")
        assert "No space left on device" in refused["error"]
        assert client.event(job, "finished")["outcome"] == "exited"
    client.run("next", "echo it goes on")
    assert client.event("next", "ended")["status"] == 0
    client.event("next", "finished")
    assert sorted(os.listdir(f"/proc/{plain_supervisor.pid}/fd")) == before

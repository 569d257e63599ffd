"""A real Docker daemon of the tests' own: private, without a network, with an image made offline.

It is started and stopped by the tests, by its pid. Where it can't be had, what needs it is skipped
with the reason; under CI it fails, so that nobody takes a green run for one with Docker.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from leaks import kept

# The image that every test uses: busybox, nothing else.
IMAGE = "test-busybox:1"
# Seconds: fuses, not waits. A start takes half a second; a stop up to four with a container.
FUSE_S = 300.0

_READY = "API listen on"


class Dockerd:
    """One daemon below a folder of its own. `environment` leads a client to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.environment = {"DOCKER_HOST": self.host}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with kept():  # also where a test starts the session's daemon anew
            self._start()

    def _start(self) -> None:
        """Start it, and return when it answers."""
        (self.folder / "docker.pid").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                "dockerd",
                f"--host={self.host}",
                f"--data-root={self.folder}/data",
                f"--exec-root={self.folder}/exec",
                f"--pidfile={self.folder}/docker.pid",
                "--iptables=false",
                "--ip6tables=false",
                "--bridge=none",
                "--storage-driver=overlay2",
                "--live-restore",
                "--exec-opt=native.cgroupdriver=cgroupfs",
                "--userland-proxy=false",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_ready(self.process)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Its own word for it, in its log, which goes into a file from then on."""
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.decode(errors="replace"))
            if _READY in lines[-1]:
                break
        else:
            process.wait()
            raise CannotStart("".join(lines[-5:]))
        with open(self.folder / "dockerd.log", "ab") as log:
            self._sink = subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)
        process.stderr.close()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the daemon; its containers live on (`--live-restore`)."""
        assert self.process is not None
        containerd = self._containerd()
        self.process.send_signal(number)
        self.process.wait(FUSE_S)
        # One that starts while the old one's containerd is just ending waits for that for ever.
        if containerd is not None:
            poller = select.poll()
            poller.register(containerd, select.POLLIN)
            assert poller.poll(FUSE_S * 1000)
            os.close(containerd)
            # Until its new parent has reaped it, its number would look alive to the next daemon.
            (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        self._sink.wait(FUSE_S)
        self.process = None

    def _containerd(self) -> int | None:
        with suppress(OSError, ValueError):
            return os.pidfd_open(int((self.folder / "exec/containerd/containerd.pid").read_text()))
        return None

    def restart(self, number: int = signal.SIGTERM) -> None:
        self.stop(number)
        self.start()

    def client(self, *arguments: str, check: bool = True, **options: Any) -> str:
        """What Docker's own client says."""
        ran = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment},  # noqa: TID251 - what a person's shell would pass
            capture_output=True,
            check=False,
            timeout=FUSE_S,
            **options,
        )
        assert not check or ran.returncode == 0, ran.stderr.decode()
        output: str = ran.stdout.decode().strip()
        return output

    def containers(self, job_id: str = "") -> list[str]:
        """The names of all containers there are, of a job or at all."""
        names = self.client("ps", "--all", "--format", "{{.Names}}").split()
        return [name for name in names if job_id in name]

    def about(self, name: str) -> dict[str, Any]:
        about: dict[str, Any]
        (about,) = json.loads(self.client("inspect", name))
        return about

    def make_image(self) -> None:
        root = self.folder / "image"
        (root / "bin").mkdir(parents=True)
        (root / "tmp").mkdir(mode=0o777)
        shutil.copy(shutil.which("busybox") or "", root / "bin/busybox")
        for name in subprocess.check_output(["busybox", "--list"], text=True).split():
            if name != "busybox":
                (root / "bin" / name).symlink_to("busybox")
        archive = subprocess.check_output(
            ["tar", "-C", str(root), "--owner=0", "--group=0", "-c", "."]
        )
        own = ["-c", 'CMD ["/bin/echo", "own command"]', "-c", "ENV PATH=/bin FROM_IMAGE=yes"]
        self.client("import", *own, "-", IMAGE, input=archive)

    def close(self) -> None:
        """Remove all of it."""
        if self.process is None:
            self.start()
        if names := self.containers():
            self.client("rm", "-f", *names, check=False)
        self.stop()
        for mounted in (self.folder / "data", self.folder / "exec/netns/default"):
            subprocess.run(["umount", str(mounted)], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class CannotStart(Exception):
    """The message is the end of its log."""


def _why_not() -> str | None:
    missing = [p for p in ("dockerd", "docker", "busybox") if shutil.which(p) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return None if os.geteuid() == 0 else "only root can start a Docker daemon"


def _skip(reason: str) -> None:
    if os.environ.get("CI", "").lower() in ("true", "1"):  # noqa: TID251 - CI says so there
        pytest.fail(f"CI tests with Docker, and there is none: {reason}")
    pytest.skip(f"no Docker daemon can be started here: {reason}")


@contextmanager
def daemon() -> Iterator[Dockerd]:
    """A daemon with the image. Raises: CannotStart."""
    if (reason := _why_not()) is not None:
        raise CannotStart(reason)
    dockerd = Dockerd(Path(tempfile.mkdtemp(prefix="dockerd-")))  # a socket's path is short
    try:
        dockerd.start()
    except BaseException:
        shutil.rmtree(dockerd.folder, ignore_errors=True)
        raise
    try:
        dockerd.make_image()
        yield dockerd
    finally:
        dockerd.close()


@contextmanager
def daemon_or_skip() -> Iterator[Dockerd]:
    """The same for a fixture: skips, or fails under CI, where there can't be one."""
    context = daemon()
    try:
        dockerd = context.__enter__()
    except CannotStart as exc:
        _skip(str(exc))
        raise AssertionError from exc
    try:
        yield dockerd
    finally:
        context.__exit__(None, None, None)


def free_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address: tuple[str, int] = probe.getsockname()
        return address

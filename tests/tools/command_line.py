"""`jobrunner` as a person or a script calls it: a process of its own, with or without a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pexpect

# Seconds: a fuse, not a wait.
FUSE_S = 120


def hang_up(terminal: pexpect.spawn[bytes], number: int = signal.SIGHUP) -> None:
    """Close the terminal, as its window does, and wait for the end of what runs there. pexpect's
    own way of it gives a busy machine a tenth of a second.
    """
    if terminal.isalive():
        terminal.kill(number)
        terminal.wait()
    terminal.close()


def _as_in_a_terminal() -> None:
    """What starts the tests may ignore these (`nohup`, `&`), and programs that they start would."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class CommandLine:
    """It speaks to the service at `url`."""

    def __init__(self, url: str, **variables: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBRUNNER_")}  # noqa: TID251 - what a person's shell would pass
        self.environment = {**inherited, "JOBRUNNER_URL": url, **variables}
        self.command = [sys.executable, "-P", "-m", "service"]

    def __call__(
        self, *arguments: str | bytes, given: bytes = b"", status: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """What it did, once it has ended with that status (None: with any)."""
        done = subprocess.run(
            [*self.command, *arguments],
            input=given,
            capture_output=True,
            check=False,
            timeout=FUSE_S,
            env=self.environment,
            **options,
        )
        assert status is None or done.returncode == status, (done.returncode, done.stderr)
        return done

    @contextmanager
    def started(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """It, while it runs; ended with the block."""
        ends: dict[str, Any] = {"stdin": subprocess.DEVNULL}
        ends |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [*self.command, *arguments], **ends | options, env=self.environment, text=False
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def at_terminal(self, *arguments: str) -> Iterator[pexpect.spawn[bytes]]:
        """The same at a terminal of 80 columns."""
        terminal: pexpect.spawn[bytes] = pexpect.spawn(
            self.command[0],
            [*self.command[1:], *arguments],
            env=self.environment,
            timeout=FUSE_S,
            preexec_fn=_as_in_a_terminal,
            dimensions=(24, 80),
            encoding=None,
        )
        try:
            yield terminal
        finally:
            hang_up(terminal, signal.SIGKILL)

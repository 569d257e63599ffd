"""An sshd of the test's own, which lets its user in by a key."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from running import free_port


class NoSshd(Exception):
    """None is installed, or it can't be started."""


@contextmanager
def sshd(directory: Path) -> Iterator[list[str]]:
    """The words that are `ssh` to it; a host, which is 127.0.0.1, comes behind them. Raises: NoSshd."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None or os.geteuid() != 0:
        raise NoSshd("no sshd is installed, or it can't be started")
    directory.mkdir(mode=0o700)
    host, user, known = (directory / name for name in ("host", "user", "known"))
    for key in (host, user):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    port = free_port()
    os.makedirs("/run/sshd", exist_ok=True)  # where it wants to be root of nothing
    options = [f"HostKey={host}", f"AuthorizedKeysFile={user}.pub", "ListenAddress=127.0.0.1"]
    options += ["StrictModes=no", "UsePAM=no", "PermitRootLogin=yes", "PidFile=none"]
    words = [word for option in options for word in ("-o", option)]
    command = [program, "-D", "-q", "-f", "/dev/null", "-p", f"{port}", *words]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as daemon:
        try:
            trust = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={known}"]
            ssh = ["ssh", "-q", "-F", "none", "-i", str(user), "-p", f"{port}", *trust]
            # Retried by ssh itself: once a second.
            attempts = ["-o", "ConnectionAttempts=30"]
            subprocess.run([*ssh, *attempts, "127.0.0.1", "true"], check=True)
            yield ssh
        finally:
            daemon.terminate()

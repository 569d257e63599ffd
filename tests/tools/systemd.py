"""A systemd of its own: PID 1 of a few namespaces, on an overlay of this box's file system, where
the units of `deploy/` run as they would on a box. Nothing of it outlives its first process.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import service

SYSTEMD = Path("/lib/systemd/systemd")
PYTHON = Path("/usr/bin/python3")
DEPLOY = Path(__file__).parents[2] / "deploy"
# Seconds: fuses.
_BOOT_FUSE_S = 300
_COMMAND_FUSE_S = 300

_ALONE = (
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--cgroup",
    "--net",
    "--ipc",
    "--uts",
    "--kill-child",
)

# Runs as the first process of the namespaces, and becomes systemd. $1: a directory to work in,
# $2: the packages of this interpreter, $3: the package under test, $4: the units, $5: the version
# of Python, $6: where the socket is on which systemd tells that it has booted.
_BOOT = r"""
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir -p "$1"/{up,work,root,packages/up,packages/work}
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
cd "$1/root"
home=opt/jobrunner
packages=$home/lib/python$5/site-packages
mkdir -p $home/bin "$packages"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/packages/up,workdir=$1/packages/work" "$packages"
rm -rf "$packages/service" && cp -r "$3" "$packages/service"
ln -s /usr/bin/python3 $home/bin/python
printf 'home = /usr/bin\n' > $home/pyvenv.cfg
printf '#!/opt/jobrunner/bin/python\nimport sys\nfrom service.cli import main\nsys.exit(main())\n' > $home/bin/jobrunner
chmod 755 $home/bin/jobrunner
cp "$4"/*.service etc/systemd/system/
grep -q '^jobrunner:' etc/passwd || chroot . useradd --system --create-home --key HOME_MODE=0700 --home-dir /var/lib/jobrunner-home --shell /usr/sbin/nologin jobrunner
find etc/systemd/system -name '*.wants' -exec rm -rf {} +
: > etc/machine-id
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys -o ro
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir run/host
mount --bind "$6" run/host
ip link set lo up
exec env -i container=test NOTIFY_SOCKET=/run/host/notify PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /lib/systemd/systemd --system --unit=sysinit.target --log-target=null --show-status=0
"""


def why_not() -> str | None:
    """Why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "only root can boot a systemd"
    for path in (SYSTEMD, PYTHON):
        if not path.exists():
            return f"{path} is not installed"
    done = subprocess.run(
        [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        timeout=_COMMAND_FUSE_S,
        check=True,
    )
    if done.stdout.strip() != sysconfig.get_python_version():
        return f"{PYTHON} is another Python than this one, and can't load what is installed here"
    missing = [name for name in ("unshare", "nsenter", "ip", "curl") if shutil.which(name) is None]
    return f"{', '.join(missing)}: not installed" if missing else None


class Box:
    """A booted one; `run` runs a command in it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.token = ""  # who calls

    def run(self, *argv: str, ok: Sequence[int] = (0,)) -> str:
        """What a command says that ends with one of these exit statuses."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-C", "-i", "-u", "-r", "-w", *argv],
            capture_output=True,
            text=True,
            timeout=_COMMAND_FUSE_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        assert done.returncode in ok, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def curl(self, *arguments: str, ok: Sequence[int] = (0,)) -> str:
        url = "http://127.0.0.1:8080"
        *options, path = arguments
        if self.token:
            options += ["-H", f"Authorization: Bearer {self.token}"]
        return self.run("curl", "-sS", "--fail-with-body", "-m", "60", *options, url + path, ok=ok)

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "-q", ok=(0, 1))


@contextmanager
def booted(directory: Path) -> Iterator[Box]:
    """Boot, and end all of it afterwards."""
    directory.mkdir()
    (package,) = service.__path__
    with TemporaryDirectory() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(f"{place}/notify")
        told.settimeout(_BOOT_FUSE_S)
        packages, version = sysconfig.get_path("purelib"), sysconfig.get_python_version()
        arguments = [directory, packages, package, DEPLOY, version, place]
        first = subprocess.Popen(
            [*_ALONE, "bash", "-c", _BOOT, "boot", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while b"READY=1" not in told.recv(4096):
                pass
            children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text()
            yield Box(int(children.split()[0]))
        finally:
            first.kill()  # and with it, by --kill-child, the first process of the namespace
            first.wait()

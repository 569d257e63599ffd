"""A real Slurm cluster of the tests' own: a controller and two nodes on this host, loopback only.

It is started and stopped by the tests, by its pids, below a folder and on ports of its own. Where it
can't be had, what needs it is skipped with the reason; under CI it fails, so that nobody takes a
green run for one with Slurm.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from leaks import kept
from running import free_port
from waiting import until

# Seconds: fuses, not waits. A cluster is up after one.
FUSE_S = 300.0
# Jobs that the two nodes have room for, of one processor each.
PROCESSORS = 12

_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={unused}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
KillWait=2
MessageTimeout=60
SlurmdTimeout={node_timeout}
MinJobAge=3600
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
NodeName={n1} NodeHostname=localhost NodeAddr=127.0.0.1 Port={p1} CPUs={cpus} RealMemory={memory}
NodeName={n2} NodeHostname=localhost NodeAddr=127.0.0.1 Port={p2} CPUs={cpus} RealMemory={memory}
PartitionName=main Nodes={n1},{n2} Default=YES State=UP DefMemPerCPU=100
PartitionName=one Nodes={n1} State=UP DefMemPerCPU=100
PartitionName=urgent Nodes={n1},{n2} State=UP DefMemPerCPU=100 PriorityTier=2
"""
_CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
"""


class Cluster:
    """One cluster below a folder of its own. `environment` leads Slurm's programs to it. `processors`
    are those that its nodes say they have, whatever this host has.
    """

    def __init__(
        self, folder: Path, *, node_timeout: int = 300, processors: int = PROCESSORS
    ) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(self.conf)}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        ports = {name: free_port() for name in ("controller", "unused", "p1", "p2")}
        # Unlike those of any other cluster on this host: cgroups are named for them.
        self.nodes = tuple(f"n{ports['controller']}-{number}" for number in (1, 2))
        (folder / "state").mkdir()
        each = processors // 2
        settings: dict[str, Any] = {"folder": folder, "cpus": each, "memory": each * 500, **ports}
        settings |= dict(zip(("n1", "n2"), self.nodes, strict=True))
        self.conf.write_text(_CONF.format(node_timeout=node_timeout, **settings))
        (folder / "cgroup.conf").write_text(_CGROUP_CONF)

    def start(self) -> None:
        with kept():
            self.start_controller("-c")
            for node in self.nodes:
                self.start_node(node)
        self.wait_idle()

    def start_controller(self, *arguments: str) -> None:
        """`-c`: without the state of an earlier one."""
        self._spawn("slurmctld", "slurmctld", "-D", *arguments)

    def start_node(self, node: str) -> None:
        self._spawn(node, "slurmd", "-D", "-N", node)

    def _spawn(self, name: str, *argv: str) -> None:
        with kept(), open(self.folder / f"{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                [*argv, "-f", str(self.conf)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environment},  # noqa: TID251 - what an operator's shell would pass
            )

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a daemon: `slurmctld`, or that of a node."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        daemon.wait(FUSE_S)

    def kill_node(self, node: str) -> None:
        """Its daemon dies, and nobody serves what it had: after its timeout the node is down."""
        self.end(node, signal.SIGKILL)

    def wait_idle(self) -> None:
        until(lambda: self.says("sinfo", "-h", "-o", "%D", "-t", "idle") == "2")

    def says(self, *argv: str) -> str:
        """What one of Slurm's programs prints; empty while the controller doesn't answer."""
        ran = self.run(*argv)
        return ran.stdout.decode().strip()

    def run(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            argv,
            env={**os.environ, **self.environment},  # noqa: TID251 - what a person's shell would pass
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=FUSE_S,
        )

    def jobs(self, job_id: str = "") -> list[str]:
        """The names of all that the cluster has now, of a job or at all."""
        listed = self.run("squeue", "-h", "-o", "%j")
        assert listed.returncode == 0, listed.stderr
        return [name for name in listed.stdout.decode().split() if job_id in name]

    def state(self, name: str) -> str:
        """Of the job of that name; empty when there is none."""
        return self.says("squeue", "-h", "-t", "all", "-n", name, "-o", "%T")

    def close(self) -> None:
        """Remove all of it."""
        if "slurmctld" in self.daemons:
            self.run("scancel", "-u", "root")
            with suppress(AssertionError):
                until(lambda: not self.jobs())
        for name in (*self.nodes, "slurmctld"):
            if name in self.daemons:
                self.end(name)
        for node in self.nodes:
            for top in Path("/sys/fs/cgroup").glob(f"*/slurm_{node}"):
                _remove_cgroup(top)
        shutil.rmtree(self.folder, ignore_errors=True)


def _remove_cgroup(top: Path) -> None:
    """And what a node that was killed has left in it."""
    for directory, _, _ in os.walk(top, topdown=False):
        for pid in (Path(directory) / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        until(partial(_is_removed, directory))


def _is_removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class CannotStart(Exception):
    """The message says why."""


def _why_not() -> str | None:
    missing = [p for p in ("srun", "slurmctld", "slurmd") if shutil.which(p) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "only root can start nodes"
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        return "no cgroups of version 1 for its memory limits"
    return None


@contextmanager
def cluster(**options: Any) -> Iterator[Cluster]:
    """A cluster. Raises: CannotStart."""
    if (reason := _why_not()) is not None:
        raise CannotStart(reason)
    started = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")), **options)
    try:
        started.start()
        yield started
    finally:
        started.close()


@contextmanager
def cluster_or_skip(**options: Any) -> Iterator[Cluster]:
    """The same for a fixture: skips, or fails under CI, where there can't be one."""
    context = cluster(**options)
    try:
        started = context.__enter__()
    except CannotStart as exc:
        if os.environ.get("CI", "").lower() in ("true", "1"):  # noqa: TID251 - CI says so there
            pytest.fail(f"CI tests with Slurm, and there is none: {exc}")
        pytest.skip(f"no Slurm cluster can be started here: {exc}")
    try:
        yield started
    finally:
        context.__exit__(None, None, None)


def slurm(line: str, environment: dict[str, str] | None = None, **keys: Any) -> dict[str, Any]:
    """A command on the cluster; `keys` are those of `Slurm`."""
    return {
        "Kind": "slurm",
        "CommandLine": line,
        "Slurm": keys,
        "Environment": environment or {},
    }

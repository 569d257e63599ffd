"""The controllers of both versions of cgroups, also over an upgrade."""

import os
from contextlib import closing

import pytest

from service.supervisor.process.attribution import Attribution
from service.supervisor.process.cgroup import Cgroups
from service.supervisor.process.controllers import open_controllers
from service.supervisor.process.tree import Tree

MB = 1 << 20


@pytest.fixture
def ready(fifo):
    return fifo()


@pytest.fixture
def go(fifo):
    return fifo()


@pytest.fixture
def supervisor(start_supervisor):
    supervisor = start_supervisor()
    limits = supervisor.connect().hello["unsupported_limits"]
    if any(limits.values()):
        pytest.skip(f"no controllers here: {limits}")
    return supervisor


def test_hello_says_what_can_be_kept_and_why_the_rest_cannot(plain_supervisor):
    limits = plain_supervisor.connect().hello["unsupported_limits"]
    assert [name for name, why in limits.items() if why is None] == ["open_files", "file_size"]
    assert all("JOBRUNNER_CGROUP" in limits[name] for name in ("memory", "cpus", "pids"))


def test_limits_are_kept_and_told_of_after_an_upgrade(supervisor, ready, go):
    client = supervisor.connect()
    hog = "python3 -c 'a = [bytes(range(256)) * 4096 for _ in range(200)]'"
    line = f"ulimit -v 1000000; echo > {ready}; read < {go}; {hog}; grep memory: /proc/self/cgroup"
    client.run("job", line, limits={"memory": 50 * MB})
    ready.line()
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    client = supervisor.connect()
    go.go()
    assert client.event("job", "ended")["oom_killed"]
    usage = client.event("job", "finished")["usage"]
    assert 40 * MB < usage["peak_bytes"] <= 50 * MB
    path = client.output("job").decode().split("memory:")[-1].strip()
    assert path.endswith("/job")
    assert not os.path.exists(f"/sys/fs/cgroup/memory{path}")


def test_a_limit_that_cannot_be_kept_is_an_outcome_when_it_was_asked_for_all_the_same(
    plain_supervisor,
):
    client = plain_supervisor.connect()
    client.run("job", "echo no", limits={"memory": 50 * MB})
    assert "can't be kept" in client.event("job", "refused")["error"]
    assert client.event("job", "finished")["outcome"] == "exited"


# Version 2, on a tree of plain files: what is written where. The kernel of the machine that this is
# developed on has its controllers in version 1.


@pytest.fixture
def unified(tmp_path):
    """A delegated cgroup with what the supervisor reads and writes there."""
    own = tmp_path / "own"
    jobs = own / "jobrunner-x"
    for directory in (own, jobs, jobs / "job", own / "jobrunner-x-supervisor"):
        directory.mkdir()
        for name in ("cgroup.procs", "cgroup.subtree_control", "cpu.max", "pids.max"):
            (directory / name).touch()
        for name in ("memory.max", "memory.swap.max"):
            (directory / name).touch()
    (own / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    cgroups = Cgroups(jobs, os.open(own / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
    yield own, cgroups
    os.close(cgroups._home)


def test_in_a_delegated_cgroup_the_supervisor_moves_aside_and_jobs_get_the_controllers(unified):
    own, cgroups = unified
    controllers = open_controllers("x", cgroups)
    assert controllers.missing == {}
    assert (own / "jobrunner-x-supervisor" / "cgroup.procs").read_text() == "0"
    for directory in (own, own / "jobrunner-x"):
        assert (directory / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_limits_of_version_2_are_those_of_the_cgroup_that_the_tree_is_kept_by(unified):
    own, cgroups = unified
    cgroup = open_controllers("x", cgroups).make("job", memory=64 * MB, cpus=0.5, pids=7)
    job = own / "jobrunner-x" / "job"
    assert cgroup.procs_files == [f"{job}/cgroup.procs"]
    attribution = Attribution((), "0123456789abcdef")
    with closing(attribution), cgroup.placement(Tree("job", attribution)):
        assert not (own / "cgroup.procs").read_text(), "the supervisor stays outside"
    written = [(job / f).read_text() for f in ("memory.max", "memory.swap.max", "cpu.max")]
    assert written == [str(64 * MB), "0", "50000 100000"]
    assert (job / "pids.max").read_text() == "7"
    (job / "memory.events").write_text("low 0\noom 1\noom_kill 1\noom_group_kill 0\n")
    (job / "memory.peak").write_text("123456\n")
    assert (cgroup.ran_out_of_memory(), cgroup.ran_out_of_memory()) == (True, False)
    assert cgroup.peak_bytes() == 123456

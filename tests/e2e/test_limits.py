"""What a job may use is kept, whatever it tries, and the service answers meanwhile.

Every hog here is bounded by what it does, too: the limits are what ends it sooner.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem, time_of
from gates import Gate, lines
from running import Service, running

pytestmark = pytest.mark.e2e

MB = 1 << 20


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on a box whose controllers can be written to."""
    with running(tmp_path_factory.mktemp("limits") / "jobrunner") as service:
        body = {"CommandLine": "true", "Limits": {"Memory": 64 * MB, "CPUs": 1, "PIDs": 10}}
        answer = service.client.post("/", json=body)
        if answer.status_code == 422:
            pytest.skip(f"no controllers here: {answer.json()['detail']}")
        yield service


def python(program: str) -> str:
    return f"python3 -c '{program}'"


def cgroups_of(pid: int) -> dict[str, Path]:
    """The directory of each hierarchy of version 1 that the process is in."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    parts = [line.split(":", 2) for line in lines]
    return {name: Path(f"/sys/fs/cgroup/{name}{path}") for _, name, path in parts if name}


def directories(job_id: str) -> list[str]:
    """The job's cgroups. Those of others, which come and go meanwhile, are passed over."""
    walk = os.walk("/sys/fs/cgroup")
    return [f"{parent}/{job_id}" for parent, below, _ in walk if job_id in below]


def test_what_is_asked_for_is_in_force_from_the_first_instruction(limited: Service, gate: Gate):
    asked = {"Memory": 64 * MB, "CPUs": 0.5, "PIDs": 20, "OpenFiles": 64, "FileSize": 4096}
    line = (
        f"echo $$; ulimit -n; ulimit -Hn; ulimit -f; cat /proc/self/cgroup | wc -l; read < {gate}"
    )
    job_id = limited.submit({"CommandLine": line, "Limits": asked})
    pid, soft, hard, blocks, _ = lines(limited, job_id, 5)
    inside = cgroups_of(int(pid))
    in_force = [
        (inside["memory"] / "memory.limit_in_bytes").read_text(),
        (inside["cpu"] / "cpu.cfs_quota_us").read_text(),
        (inside["pids"] / "pids.max").read_text(),
    ]
    view = limited.show(job_id)
    gate.open()
    assert limited.wait(job_id)["ExitCode"] == 0

    assert [int(text) for text in in_force] == [64 * MB, 50_000, 20]
    assert (soft, hard, int(blocks) * 1024) == ("64", "64", 4096)
    assert view["Limits"] == asked
    assert directories(job_id) == []


def test_memory_hog_is_ended_and_told_as_such(limited: Service):
    hog = python("a = [bytes(range(256)) * 4096 for _ in range(200)]")  # 200 MB
    view = limited.run(
        {
            "Commands": [
                {"CommandLine": "true", "ContinueOnFailure": True},
                {"CommandLine": f"ulimit -v 1000000; exec {hog}", "ContinueOnFailure": True},
                {"CommandLine": "echo and the next one runs"},
            ],
            "Limits": {"Memory": 50 * MB},
        }
    )
    assert [c["OOMKilled"] for c in view["Commands"]] == [False, True, False]
    assert [c["Signal"] for c in view["Commands"]] == [None, "SIGKILL", None]
    assert (view["State"], view["ExitCode"]) == ("exited", 0)
    assert 40 * MB <= view["Usage"]["PeakMemory"] <= 50 * MB
    assert directories(view["ID"]) == []


def test_child_that_is_out_of_memory_is_told_whatever_its_parent_says(limited: Service):
    hog = python("a = [bytes(range(256)) * 4096 for _ in range(200)]")
    view = limited.run(
        {"CommandLine": f"ulimit -v 1000000; {hog}; exit 0", "Limits": {"Memory": 50 * MB}}
    )
    assert (view["ExitCode"], view["Commands"][0]["OOMKilled"]) == (0, True)


def test_fork_bomb_is_contained_while_the_service_answers(limited: Service, gate: Gate):
    # Bounded by its depth to some thousand processes; each waits for the gate.
    bomb = f"bomb() {{ [ $1 -gt 11 ] || {{ bomb $(($1+1)) & bomb $(($1+1)) & }}; read < {gate}; }}"
    job_id = limited.submit({"CommandLine": f"{bomb}; echo $$; bomb 0", "Limits": {"PIDs": 30}})
    (pid,) = lines(limited, job_id, 1)
    counter = cgroups_of(int(pid))["pids"]
    assert limited.run("echo served")["ExitCode"] == 0
    assert int((counter / "pids.current").read_text()) <= 30
    assert limited.kill(job_id, grace=0, wait="true")["State"] == "killed"
    assert limited.show(job_id)["Kill"]["VerifiedGone"]
    assert directories(job_id) == []


def test_disk_filler_is_stopped_at_its_limit(limited: Service):
    view = limited.run(
        {
            "CommandLine": "head -c 5000000 /dev/zero > big; echo $?; stat -c %s big",
            "Limits": {"FileSize": MB},
        }
    )
    code, size = limited.output(view["ID"], stream="stdout").split()
    assert (int(size), int(code)) == (MB, 128 + 25)  # SIGXFSZ


def test_processor_time_is_bounded(limited: Service):
    spin = python("import time\nt = time.process_time\nwhile t() < 0.5: pass")
    view = limited.run({"CommandLine": spin, "Limits": {"CPUs": 0.25}})
    assert view["ExitCode"] == 0
    assert view["Usage"]["CPUSeconds"] >= 0.5
    lasted = time_of(view["FinishedAt"]) - time_of(view["StartedAt"])
    assert lasted.total_seconds() >= 1.5  # two, but for what the first period grants at once


def test_open_files_are_bounded(limited: Service):
    line = "exec 63>&1 && echo yes; exec 64>&1 && echo no"
    view = limited.run({"CommandLine": line, "Limits": {"OpenFiles": 64}})
    said = limited.output(view["ID"])
    assert said.startswith(b"yes")
    assert b"no" not in said.split()


def test_limits_hold_for_all_commands_and_what_they_leave(limited: Service):
    limits = {"PIDs": 8}
    commands = [{"CommandLine": "grep pids /proc/self/cgroup"} for _ in range(2)]
    view = limited.run({"Commands": commands, "Limits": limits})
    first, second = limited.output(view["ID"]).splitlines()
    assert first == second
    assert first.endswith(view["ID"].encode())


def test_usage_is_told_of_a_finished_job(limited: Service):
    view = limited.run("(( 1 ))")
    assert view["Usage"].keys() == {"CPUSeconds", "PeakMemory", "Memory", "Processes"}
    assert (view["Usage"]["Memory"], view["Usage"]["Processes"]) == (None, None)
    assert 0 < view["Usage"]["CPUSeconds"] < 5
    big = limited.run(python("a = bytes(range(256)) * 800_000"))  # 200 MB
    assert big["Usage"]["PeakMemory"] > 190 * MB


def test_default_and_ceiling_are_those_of_the_service(state_dir: Path):
    settings = {"JOBRUNNER_LIMIT_OPEN_FILES": "100", "JOBRUNNER_LIMIT_FILE_SIZE": "8192"}
    with running(state_dir, environment=settings) as service:
        default = service.run("ulimit -n; ulimit -f")
        lower = service.run({"CommandLine": "ulimit -n", "Limits": {"OpenFiles": 50}})
        body = {"CommandLine": "true", "Limits": {"OpenFiles": 101}}
        problem = assert_problem(service.client.post("/", json=body), 422)

        assert service.output(default["ID"]).split() == [b"100", b"8"]
        assert default["Limits"]["OpenFiles"] == 100
        assert service.output(lower["ID"]) == b"50\n"
        (error,) = problem["errors"]
        assert error["pointer"] == "/Limits/OpenFiles"
        assert "at most 100 descriptors" in error["detail"]


def test_limit_that_cannot_be_kept_is_refused_and_told_why(state_dir: Path):
    settings = {"JOBRUNNER_CGROUP": "off"}
    with running(state_dir, environment=settings) as service:
        body: dict[str, Any] = {"CommandLine": "true", "Limits": {"Memory": 64 * MB, "PIDs": 5}}
        problem = assert_problem(service.client.post("/", json=body), 422)
        ok = service.run({"CommandLine": "true", "Limits": {"OpenFiles": 64, "FileSize": 4096}})

        assert [error["pointer"] for error in problem["errors"]] == [
            "/Limits/Memory",
            "/Limits/PIDs",
        ]
        assert all("JOBRUNNER_CGROUP" in error["detail"] for error in problem["errors"])
        assert ok["ExitCode"] == 0


def test_next_supervisor_sweeps_the_directories_of_a_killed_one(limited: Service, state_dir: Path):
    with running(state_dir, environment={"JOBRUNNER_SHUTDOWN": "leave"}) as service:
        job_id = service.submit({"CommandLine": "echo $$; sleep 600", "Limits": {"PIDs": 5}})
        lines(service, job_id, 1)
        assert directories(job_id)
        os.kill(service.supervisor_pid(), 9)
        assert service.wait(job_id)["Reason"] == "lost"
        assert service.run("true")["ExitCode"] == 0
        assert directories(job_id) == []

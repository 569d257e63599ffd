"""What a job does to its directory, to what is beside it and above it: all of it as a job can do it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from gates import Gate
from running import Service, again, running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

USER = "nobody"
NOBODY = pwd.getpwnam(USER)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that everybody may pass through, as a state directory's parents must be."""
    place = tmp_path_factory.mktemp("open")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    return place


@pytest.fixture(scope="module")
def plain(place: Path) -> Iterator[Service]:
    with running(place / "plain") as service:
        yield service


@pytest.fixture(scope="module", params=["user", "user-and-sandbox", "sandbox"])
def confined(request: pytest.FixtureRequest, place: Path) -> Iterator[Service]:
    environment = {}
    if request.param != "sandbox":
        if os.geteuid():
            pytest.skip("only root can have others run")
        environment["JOBRUNNER_RUN_AS"] = USER
    if request.param != "user":
        if shutil.which("bwrap") is None:
            pytest.skip("bubblewrap is not installed")
        environment["JOBRUNNER_SANDBOX"] = "bwrap"
    with running(place / request.param, environment=environment) as service:
        yield service


def sequence(*commands: str | dict[str, Any]) -> dict[str, Any]:
    return {"Commands": [{"CommandLine": c} if isinstance(c, str) else c for c in commands]}


def everything_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


# What is ours


@pytest.mark.parametrize(
    "attack",
    [
        "date > ../output; touch ../runs",
        "mkdir ../output ../runs",
        "mkfifo ../output ../runs",
        "ln -s /etc/passwd ../output; ln -s /dev/zero ../runs",
        "rm -rf ../output ../runs; chmod 000 ..",
        "chmod 000 .",
        "mv ../work ../gone",
        "rm -rf ../work; touch ../work",
    ],
)
def test_whatever_a_job_does_to_its_own_and_above_it_is_heard_and_ends(
    plain: Service, tmp_path: Path, attack: str
):
    gate = Gate(tmp_path / "gate")
    try:
        job_id = plain.submit(f"{attack}; read -r _ < {gate}; echo heard; exit 3")
        gate.open()
        view = plain.wait(job_id)
    finally:
        gate.close()
    assert (view["State"], view["ExitCode"]) == ("exited", 3)
    assert view["Output"]["Complete"]
    assert plain.output(job_id).endswith(b"heard\n")
    assert plain.client.post(f"/{job_id}/clean").status_code == 200
    assert not any((plain.state_dir / name / job_id).exists() for name in ("jobs", "logs"))


def test_a_job_that_has_done_so_can_be_killed(plain: Service):
    job_id = plain.submit("mkdir ../output ../runs; trap '' TERM; while :; do sleep 60; done")
    plain.client.get(f"/{job_id}/attach", params={"follow": "false"})
    plain.kill(job_id, grace=0, wait="true")
    assert plain.show(job_id)["State"] == "killed"


@AS_ROOT
def test_nobody_else_sees_what_a_job_has_in_its_directory(confined: Service):
    view = confined.run("echo secret > file; chmod 666 file; chmod 777 . 2> /dev/null; echo said")
    work = confined.state_dir / "jobs" / view["ID"] / "work"
    view = confined.run("echo secret > file")
    other = confined.state_dir / "jobs" / view["ID"] / "work"
    assert stat.S_IMODE(other.stat().st_mode) == 0o700
    assert stat.S_IMODE((confined.state_dir / "logs").stat().st_mode) == 0o700
    somebody = {"user": 12345, "group": 12345, "extra_groups": ()}
    for path in (other / "file", confined.state_dir / "logs" / work.parent.name / "output"):
        assert path.is_file()
        tried = subprocess.run(["cat", path], check=False, capture_output=True, **somebody)
        assert tried.returncode
        assert b"Permission denied" in tried.stderr


# Links


@pytest.fixture
def of_root(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of root, at work below a directory that nobody else may pass through."""
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    (closed / "inside" / "file").write_text("secret")
    (closed / "inside").chmod(0o755)
    (closed / "inside" / "file").chmod(0o644)
    closed.chmod(0o700)
    with subprocess.Popen(["sleep", "infinity"], cwd=closed / "inside") as process:
        yield process
        process.kill()


@AS_ROOT
@pytest.mark.parametrize("way", ["{pid}/cwd", "{pid}/task/{pid}/cwd", "{pid}/root{outside}"])
def test_no_process_leads_a_command_where_its_user_may_not_go(
    confined: Service, of_root: subprocess.Popen[bytes], tmp_path: Path, way: str
):
    path = "/proc/" + way.format(pid=of_root.pid, outside=tmp_path / "closed" / "inside")
    view = confined.run({"CommandLine": "cat file; pwd -P", "WorkingDir": path})
    (command,) = view["Commands"]
    assert command["ExitCode"] is None
    assert path in command["Error"]
    assert confined.output(view["ID"]) == b""


@pytest.mark.parametrize("begins", ["link", "link/made", "link/a/b", "deep/link/made"])
def test_no_link_has_directories_made_outside(confined: Service, tmp_path: Path, begins: str):
    tmp_path.chmod(0o777)
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    other = confined.run("true")["ID"]
    state = confined.state_dir
    before = everything_below(state / "jobs" / other), os.listdir(state / "logs")
    for link in (outside, "../..", state, state / "logs", f"../../{other}/work", "/"):
        line = f"mkdir deep; ln -s {link} link; ln -s {link} deep/link"
        view = confined.run(sequence(line, {"CommandLine": "touch here", "WorkingDir": begins}))
        assert view["Commands"][0]["ExitCode"] == 0
        assert (view["ExitCode"], view["Signal"]) == (None, None)
        assert "leads out" in view["Error"] or "can't be used" in view["Error"]
    assert os.listdir(outside) == []
    assert (everything_below(state / "jobs" / other), os.listdir(state / "logs")) == before


def test_a_directory_that_is_swapped_for_a_link_all_the_time_leads_nowhere(
    confined: Service, tmp_path: Path
):
    """A process that an earlier command left goes on swapping while later commands begin."""
    tmp_path.chmod(0o777)
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    swap = (
        f"import os\nos.mkdir('dir')\nos.symlink('{outside}', 'link')\nprint(flush=True)\n"
        "while True:\n"
        "    for a, b in (('dir', 'k'), ('link', 'dir'), ('dir', 'link'), ('k', 'dir')):\n"
        "        try:\n            os.rename(a, b)\n        except OSError:\n            pass\n"
    )
    begun = {"CommandLine": f'coproc python3 -c "{swap}"; read -r _ <&"${{COPROC[0]}}"'}
    later = {"CommandLine": "true", "WorkingDir": "dir/made/deep", "ContinueOnFailure": True}
    last = {"CommandLine": "exit 4"}
    view = confined.run({"Commands": [begun, *[later] * 60, last], "Grace": 1})
    assert view["ExitCode"] == 4
    assert os.listdir(outside) == []


# Clean


DEEP = (
    "import os\n"
    "for _ in range({depth}):\n"
    "    os.mkdir('{name}'); os.chdir('{name}')\n"
    "open(b'\\xff', 'w').close()\n"
)


@pytest.mark.parametrize(("depth", "name"), [(1500, "d"), (40, "n" * 250)])
def test_directories_of_any_depth_are_cleaned_and_others_as_ever(
    confined: Service, depth: int, name: str
):
    view = confined.run(f'python3 -c "{DEEP.format(depth=depth, name=name)}"')
    assert view["ExitCode"] == 0, confined.output(view["ID"])
    other = confined.run("mkdir -p a/b; echo x > a/b/c; chmod 000 a/b; chmod 500 a")
    for job_id in (view["ID"], other["ID"]):
        answer = confined.client.post(f"/{job_id}/clean")
        assert (answer.status_code, answer.json()) == (200, {"ID": job_id})
        assert not (confined.state_dir / "jobs" / job_id).exists()
        assert_problem(confined.client.get(f"/{job_id}"), 404)


def test_retention_counts_and_cleans_whatever_the_depth(place: Path):
    environment = {"JOBRUNNER_RETAIN_AGE": "60", "JOBRUNNER_RETAIN_BYTES": "0"}
    with running(place / "retaining", environment=environment) as service:
        deep = service.run(f'python3 -c "{DEEP.format(depth=1500, name="d")}"')["ID"]
        after = service.run("echo after")["ID"]
        service.stop()
        age(service.state_dir)
        with again(service) as successor:
            successor.wait_for_line("jobs_retired", 2)  # the oldest alone, then the others
            successor.stop()
        assert not any((service.state_dir / "jobs" / i).exists() for i in (deep, after))


def age(state_dir: Path) -> None:
    with closing(sqlite3.connect(state_dir / "jobs.db")) as db:
        db.execute("UPDATE jobs SET finished_at = 1")
        db.commit()


@AS_ROOT
def test_what_cannot_be_removed_is_one_jobs_trouble_and_is_tried_again(place: Path):
    if shutil.which("chattr") is None:
        pytest.skip("chattr is not installed")
    with running(place / "immutable") as service:
        stuck = service.run("mkdir a; touch a/fixed other; chattr +i a/fixed")
        if stuck["ExitCode"]:
            pytest.skip("this file system has no immutable files")
        fixed = service.state_dir / "jobs" / stuck["ID"] / "work" / "a" / "fixed"
        try:
            for _ in range(2):
                answer = service.client.post(f"/{stuck['ID']}/clean")
                problem = assert_problem(answer, 409)
                assert problem["type"] == "urn:jobrunner:problem:files_left"
                assert (problem["path"], problem["why"]) == (
                    "work/a/fixed",
                    "Operation not permitted",
                )
            assert "Operation not permitted" in service.wait_for_line("files_not_removed")
            assert not (fixed.parent.parent / "other").exists()
            assert service.show(stuck["ID"])["State"] == "exited"
            assert leftovers(service) == 1
            doctor = run_doctor(service.state_dir)
            assert f"work/a/fixed of {stuck['ID']}: Operation not permitted" in doctor.stdout
            fine = service.run("touch file")["ID"]
            assert service.client.post(f"/{fine}/clean").status_code == 200
            assert not (service.state_dir / "jobs" / fine).exists()
        finally:
            subprocess.run(["chattr", "-i", fixed], check=True)
        service.stop()
        with again(service) as successor:
            successor.wait_for_line("jobs_retired")
            assert_problem(successor.client.get(f"/{stuck['ID']}"), 404)
            assert leftovers(successor) == 0
        assert not (service.state_dir / "jobs" / stuck["ID"]).exists()


def leftovers(service: Service) -> float:
    series = re.search(
        r"^jobrunner_jobs_with_leftovers (\S+)", service.client.get("/metrics").text, re.MULTILINE
    )
    assert series is not None
    return float(series[1])


def run_doctor(state_dir: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "JOBRUNNER_STATE_DIR": str(state_dir)}  # noqa: TID251 - what a person's shell would pass
    command = [sys.executable, "-m", "service", "doctor"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@AS_ROOT
def test_a_mount_in_the_working_directory_is_told_and_left_alone(place: Path):
    outside = place / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    environment = {"JOBRUNNER_RETAIN_JOBS": "1"}
    with running(place / "mounted", environment=environment) as service:
        job_id = service.run("mkdir -p a/mount; touch a/other")["ID"]
        mount = service.state_dir / "jobs" / job_id / "work" / "a" / "mount"
        if subprocess.run(["mount", "--bind", outside, mount], check=False).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            problem = assert_problem(service.client.post(f"/{job_id}/clean"), 409)
            assert problem["path"] == "work/a/mount"
            assert "something is mounted there" in problem["why"]
            assert (mount / "kept").read_text() == "kept"
            assert service.output(job_id) == b""
        finally:
            subprocess.run(["umount", mount], check=True)
        assert service.client.post(f"/{job_id}/clean").status_code == 200
        assert_problem(service.client.get(f"/{job_id}"), 404)
        assert leftovers(service) == 0
    assert (outside / "kept").read_text() == "kept"


@AS_ROOT
def test_retention_keeps_the_record_of_what_cannot_be_removed_and_goes_on(place: Path):
    environment = {"JOBRUNNER_RETAIN_AGE": "60", "JOBRUNNER_RETAIN_BYTES": "0"}
    with running(place / "stuck", environment=environment) as service:
        stuck = service.run("touch fixed; chattr +i fixed")
        if stuck["ExitCode"]:
            pytest.skip("this file system has no immutable files")
        fixed = service.state_dir / "jobs" / stuck["ID"] / "work" / "fixed"
        try:
            fine = service.run("true")["ID"]
            service.stop()
            age(service.state_dir)
            with again(service) as successor:
                successor.wait_for_line("jobs_retired")
                assert_problem(successor.client.get(f"/{fine}"), 404)
                assert successor.show(stuck["ID"])["State"] == "exited"
                assert leftovers(successor) == 1
        finally:
            subprocess.run(["chattr", "-i", fixed], check=True)


# Something else in the place of our files


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
@pytest.mark.parametrize("name", ["output", "runs"])
def test_something_else_in_the_place_of_a_log_freezes_nobody(
    plain: Service, tmp_path: Path, name: str, kind: str
):
    job_id = plain.run("echo said; head -c 100000 /dev/zero")["ID"]
    path = plain.state_dir / "logs" / job_id / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert_problem(plain.client.get(f"/{job_id}/attach"), 500)
    assert plain.show(job_id)["Output"]["Complete"] is False
    listed = plain.client.get("/", params={"state": "all", "view": "full"})
    assert listed.status_code == 200
    assert plain.client.post(f"/{job_id}/clean").status_code == 200
    assert not path.parent.exists()


def test_logs_that_cannot_be_read_stop_no_other_job_from_being_taken_up(place: Path):
    with running(place / "unreadable") as service:
        jobs = [service.submit("echo said; sleep 600") for _ in range(3)]
        for job_id in jobs:
            with service.client.stream("GET", f"/{job_id}/attach") as answer:
                next(answer.iter_raw())
        for name, job_id in zip(("output", "runs"), jobs, strict=False):
            path = service.state_dir / "logs" / job_id / name
            path.unlink()
            os.mkfifo(path)
        os.kill(service.supervisor_pid(), signal.SIGKILL)
        for job_id in jobs:
            view = service.wait(job_id)
            assert (view["State"], view["Reason"]) == ("killed", "lost")
            assert view["Output"]["Complete"] is False
        assert service.output(jobs[2]) == b"said\n"

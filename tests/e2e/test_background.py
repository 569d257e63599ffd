"""`"Background": "keep"`: daemons that outlive their jobs, and everything that ends them."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from gates import attached, lines
from running import Service, running

from service.host.procfs import look_at

pytestmark = pytest.mark.e2e

# What a job starts: it says its number and its port on the job's output, then serves.
SERVER = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(os.getpid(), server.getsockname()[1], flush=True)
os.dup2(os.open(os.devnull, os.O_RDWR), 1)
os.dup2(1, 2)
while True:
    peer, _ = server.accept()
    peer.sendall(b"served")
    peer.close()
"""
LONG_AGO = 1_000_000_000  # nanoseconds: a second after 1970 began


@pytest.fixture
def server(tmp_path: Path) -> str:
    """A line that starts such a daemon, and returns when it serves."""
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    program.chmod(0o644)
    # Its output is that of `cat` until it serves; then it holds no pipe of the job's.
    return f"mkfifo said; setsid {sys.executable} {program} > said 2> /dev/null & cat said; rm said"


class Daemon:
    """One that is there when this is made, whoever has its number later."""

    def __init__(self, service: Service, job_id: str) -> None:
        said = lines(service, job_id, 1)[0]
        self.pid, self.port = map(int, said.split())
        found = look_at(self.pid)
        assert found is not None
        self.started = found.started

    @property
    def lives(self) -> bool:
        found = look_at(self.pid)
        return found is not None and found.started == self.started and not found.is_dead

    def serves(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 10) as peer:
            return peer.recv(100) == b"served"


def keeping(line: str, **more: Any) -> dict[str, Any]:
    return {"Commands": [{"CommandLine": line, "Background": "keep"}], **more}


def started(service: Service, line: str, **more: Any) -> tuple[dict[str, Any], Daemon]:
    job_id = service.submit(keeping(line, **more))
    view = service.wait(job_id)
    return view, Daemon(service, job_id)


def test_a_daemon_outlives_its_job_and_is_told_and_a_kill_ends_it(service: Service, server: str):
    view, daemon = started(service, server)
    assert (view["State"], view["ExitCode"], view["Output"]["Complete"]) == ("exited", 0, True)
    assert view["Commands"][0]["Background"] == "keep"
    left = [(each["PID"], each["Kept"]) for each in view["Left"]]
    assert (left, view["Kill"]) == ([(daemon.pid, True)], None)
    assert daemon.serves()
    listed = service.client.get(f"/{view['ID']}?processes=true").json()["Processes"]
    assert [each["PID"] for each in listed] == [daemon.pid]
    assert "jobrunner_jobs_with_kept_processes 1.0" in service.client.get("/metrics").text
    answer = service.kill(view["ID"], wait="true")
    assert answer == {"ID": view["ID"], "State": "exited"}
    assert not daemon.lives
    view = service.show(view["ID"])
    assert (view["State"], view["Reason"], view["ExitCode"]) == ("exited", None, 0)
    receipt = view["Kill"]
    assert (receipt["Found"], receipt["Escalated"], receipt["VerifiedGone"]) == (1, False, True)
    assert receipt["Signals"] == ["SIGTERM"]
    assert "jobrunner_jobs_with_kept_processes 0.0" in service.client.get("/metrics").text
    service.kill(view["ID"], wait="true")
    assert service.show(view["ID"])["Kill"] == receipt, "nothing is there to be killed any more"
    assert service.client.get(f"/{view['ID']}?processes=true").json()["Processes"] == []


def test_a_clean_ends_it_first(service: Service, server: str):
    view, daemon = started(service, server)
    assert service.client.post(f"/{view['ID']}/clean").status_code == 200
    assert not daemon.lives
    assert service.client.get(f"/{view['ID']}").status_code == 404
    assert not (service.state_dir / "kept" / view["ID"]).exists()


def test_a_clean_of_many_ends_them(service: Service, server: str):
    view, daemon = started(service, server, Labels={"of": "many"})
    answer = service.client.post("/clean?label=of=many")
    assert answer.json() == {"Cleaned": [view["ID"]], "Untouched": [], "More": False}
    assert not daemon.lives


def test_it_holds_no_slot_and_no_deadline_of_its_job(service: Service, server: str):
    view, daemon = started(service, server, Timeout=30)
    assert view["FinishedAt"] is not None
    assert service.client.get("/").json()["IDs"] == []
    service.kill(view["ID"], wait="true")
    assert not daemon.lives


def test_a_kill_of_the_running_job_ends_it_too(service: Service, server: str):
    job_id = service.submit(keeping(f"{server}; sleep 600"))
    daemon = Daemon(service, job_id)
    service.kill(job_id, wait="true")
    view = service.show(job_id)
    assert (view["State"], view["Left"], view["Kill"]["VerifiedGone"]) == ("killed", [], True)
    assert not daemon.lives


def test_a_signal_to_the_running_job_reaches_it_too(service: Service):
    # A shell's child may miss a signal until its exec.
    child = 'bash -c "echo up; exec sleep 600"'
    line = f"setsid bash -c 'trap \"echo kept\" HUP; {child} & wait' & exec sleep 600"
    job_id = service.submit(keeping(line))
    with attached(service, job_id) as output:
        assert next(output) == "up"
        answer = service.client.post(f"/{job_id}/signal?signal=HUP")
        assert answer.json()["Processes"] == 3
        assert next(output) == "kept"
    assert service.wait(job_id)["Signal"] == "SIGHUP"


def test_a_kill_while_others_are_being_ended_ends_it_as_well(service: Service, server: str):
    """The job has ended by itself, and a process of another command is within its two seconds."""
    stubborn = "trap '' TERM; sleep 600 > /dev/null 2>&1 &"
    commands = [{"CommandLine": stubborn}, {"CommandLine": server, "Background": "keep"}]
    job_id = service.submit({"Commands": commands})
    daemon = Daemon(service, job_id)
    while service.show(job_id)["Commands"][1]["State"] != "exited":
        pass
    service.kill(job_id, wait="true")
    view = service.show(job_id)
    assert (view["State"], view["Kill"]["VerifiedGone"]) == ("exited", True)
    assert sorted(each["Kept"] for each in view["Left"]) == [False, True]
    assert not daemon.lives


def test_an_id_that_is_none_is_looked_up_nowhere(service: Service):
    for job_id in ("%00", "..", "%2e%2e%2fjobs.db", "x" * 300):
        assert service.client.delete(f"/{job_id}").status_code in (200, 400)


def test_only_the_command_that_says_so_keeps(service: Service, server: str):
    ended = "sleep 600 > /dev/null 2>&1 &"
    commands = [
        {"CommandLine": ended},
        {"CommandLine": server, "Background": "keep"},
        {"CommandLine": ended, "Background": "end"},
    ]
    job_id = service.submit({"Commands": commands})
    view = service.wait(job_id)
    daemon = Daemon(service, job_id)
    assert sorted(each["Kept"] for each in view["Left"]) == [False, False, True]
    assert [each["PID"] for each in view["Left"] if each["Kept"]] == [daemon.pid]
    assert daemon.serves()
    service.kill(job_id, grace="0", wait="true")
    assert service.show(job_id)["Kill"]["Signals"] == ["SIGKILL"]
    assert not daemon.lives


def test_output_that_it_holds_is_read_until_the_grace_and_incomplete(service: Service):
    view = service.run(keeping("echo early; sleep 600 &"))
    assert (view["State"], view["Output"]["Complete"]) == ("exited", False)
    assert service.output(view["ID"]) == b"early\n"
    assert [each["Kept"] for each in view["Left"]] == [True]
    service.kill(view["ID"], wait="true")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ({"CommandLine": "true", "Background": "stay"}, "stay"),
        (
            {"Kind": "docker", "Image": "busybox:1", "Background": "keep"},
            "a key of commands of the kind bash, this one is docker",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(service: Service, command: dict[str, str], said: str):
    problem = assert_problem(service.client.post("/", json={"Commands": [command]}), 422)
    (error,) = problem["errors"]
    assert error["pointer"] == "/Commands/0/Background"
    assert said in error["detail"]


def test_retention_ends_it_and_a_restart_of_everything_keeps_it(state_dir: Path, server: str):
    with running(state_dir) as service:
        old, first = started(service, server)
        young, second = started(service, server)
    assert first.lives, "a service that stops ends the jobs that run"
    with closing(sqlite3.connect(state_dir / "jobs.db")) as db, db:
        db.execute("UPDATE jobs SET finished_at = ? WHERE id = ?", (LONG_AGO, old["ID"]))
    with running(state_dir, environment={"JOBRUNNER_RETAIN_AGE": "86400"}) as service:
        service.wait_for_line("jobs_retired")
        assert not first.lives
        assert service.client.get(f"/{old['ID']}").status_code == 404
        assert second.serves()
        service.kill(young["ID"], wait="true")
        assert not second.lives
        assert service.show(young["ID"])["Kill"]["VerifiedGone"]


def test_a_supervisor_that_dies_takes_live_jobs_and_no_daemon(service: Service, server: str):
    over, kept = started(service, server)
    job_id = service.submit(keeping(f"{server}; sleep 600"))
    lost = Daemon(service, job_id)
    os.kill(service.supervisor_pid(), signal.SIGKILL)
    view = service.wait(job_id)
    assert (view["State"], view["Reason"]) == ("killed", "lost")
    assert not lost.lives
    assert kept.serves()
    service.kill(over["ID"], wait="true")
    assert service.show(over["ID"])["Kill"]["VerifiedGone"]
    assert not kept.lives


@pytest.fixture
def as_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if os.geteuid() != 0:
        pytest.skip("only root can have others run as somebody else")
    place = tmp_path_factory.mktemp("open")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    with running(place / "state", environment={"JOBRUNNER_RUN_AS": "nobody"}) as service:
        yield service


def test_a_daemon_of_another_user_is_kept_and_ended(as_nobody: Service):
    line = "setsid sleep 600 < /dev/null > /dev/null 2>&1 & id -un"
    view = as_nobody.run(keeping(line))
    assert as_nobody.output(view["ID"]) == b"nobody\n"
    (left,) = view["Left"]
    assert os.stat(f"/proc/{left['PID']}").st_uid == os.stat(view["WorkingDir"]).st_uid != 0
    as_nobody.kill(view["ID"], wait="true")
    assert as_nobody.show(view["ID"])["Kill"]["VerifiedGone"]

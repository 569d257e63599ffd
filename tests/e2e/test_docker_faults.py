"""Containers under the death of everything around them: client, workers, supervisor, daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import client_of, docker, job, outcome
from dockerd import Dockerd, daemon_or_skip
from gates import attached
from running import Service, again, running
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.slow]

# Seconds: a fuse.
FUSE_S = 300
# Prints a line when it is up, then one for each line that the test gives it, then ends with 7.
ASKED = "mkfifo go; exec 3<>go; echo ready; read -r _ <&3; echo on; read -r _ <&3; echo end; exit 7"


@pytest.fixture(scope="module")
def own_dockerd() -> Iterator[Dockerd]:
    """A daemon that is stopped and killed here."""
    with daemon_or_skip() as dockerd:
        yield dockerd


@pytest.fixture
def service(tmp_path: Path, own_dockerd: Dockerd) -> Iterator[Service]:
    state_dir = tmp_path / "jobrunner"
    with running(state_dir, environment=own_dockerd.environment) as service:
        yield service


def started(service: Service, dockerd: Dockerd, *more: dict[str, Any] | str) -> str:
    job_id = service.submit(job(docker(ASKED), *more))
    with attached(service, job_id) as output:
        assert next(output) == "ready"
    # Answered once the daemon has done with starting it: told to end before that, it ends it.
    assert dockerd.about(f"jobrunner-{job_id}-0")["State"]["Running"]
    return job_id


def let_go(service: Service, job_id: str, times: int) -> None:
    """Let the container's shell read this many lines."""
    (Path(service.show(job_id)["WorkingDir"]) / "go").write_text("\n" * times)


def lines_until(service: Service, job_id: str, last: str) -> list[str]:
    seen: list[str] = []
    with attached(service, job_id) as output:
        for line in output:
            seen.append(line)
            if line.startswith(last):
                break
    return seen


def test_a_killed_client_takes_neither_the_container_nor_its_result(
    service: Service, own_dockerd: Dockerd
):
    job_id = started(service, own_dockerd, "echo no")
    with Watched([client_of(job_id)]) as client:
        client.signal(signal.SIGKILL)
        client.wait_gone()
    let_go(service, job_id, 2)
    view = service.wait(job_id)
    assert (view["State"], outcome(view), view["Error"]) == ("exited", ("exited", 7, None), None)
    assert view["Output"]["Complete"] is False
    assert own_dockerd.containers(job_id) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_daemon_changes_no_result(
    service: Service, own_dockerd: Dockerd, number: signal.Signals
):
    job_id = started(service, own_dockerd, "echo no")
    own_dockerd.stop(number)
    lines_until(service, job_id, "jobrunner: waiting for Docker: ")
    own_dockerd.start()
    let_go(service, job_id, 2)
    view = service.wait(job_id)
    assert (view["State"], outcome(view), view["Error"]) == ("exited", ("exited", 7, None), None)
    assert view["Output"]["Complete"] is False
    assert outcome(view, 1)[0] == "skipped"
    assert own_dockerd.containers(job_id) == []


def test_a_workers_death_and_the_services_change_nothing(tmp_path: Path, own_dockerd: Dockerd):
    """The container runs on without any service, and the next one goes on with it."""
    state_dir = tmp_path / "jobrunner"
    environment = {**own_dockerd.environment, "JOBRUNNER_SHUTDOWN": "leave"}
    with running(state_dir, workers=2, environment=environment) as service:
        job_id = started(service, own_dockerd, "echo no")
        with Watched(service.worker_pids()) as workers:
            workers.signal(signal.SIGKILL)
            workers.wait_gone()
        service.wait_for_line("worker_ready", 3)
        let_go(service, job_id, 1)
        lines_until(service, job_id, "on")
        service.crash()
        with again(service) as successor:
            # It has looked for what is left: that of a job which is over, and not this one.
            left = own_dockerd.containers()
            let_go(successor, job_id, 1)
            view = successor.wait(job_id)
            assert left == [f"jobrunner-{job_id}-0"]
            assert (view["State"], outcome(view)) == ("exited", ("exited", 7, None))
            assert view["Output"]["Complete"]
            assert successor.output(job_id) == b"ready\non\nend\n"
            assert own_dockerd.containers(job_id) == []


def test_after_the_supervisors_death_the_job_is_lost_and_its_container_gone(
    service: Service, own_dockerd: Dockerd
):
    job_id = started(service, own_dockerd)
    os.kill(service.supervisor_pid(), signal.SIGKILL)
    view = service.wait(job_id)
    assert (view["State"], view["Reason"]) == ("killed", "lost")
    service.wait_for_line("orphans_removed")
    assert own_dockerd.containers(job_id) == []


def leave_behind(service: Service, dockerd: Dockerd) -> str:
    """A container as a job leaves it that nobody could clean up after: its name."""
    token = _token(service, dockerd)
    name = "jobrunner-11111111-2222-3333-4444-555555555555-0"
    labels = ["--label", f"jobrunner.state={token}"]
    dockerd.client("create", "--name", name, *labels, "--network", "none", "test-busybox:1")
    return name


def _token(service: Service, dockerd: Dockerd) -> str:
    job_id = started(service, dockerd)
    labels = dockerd.about(f"jobrunner-{job_id}-0")["Config"]["Labels"]
    service.kill(job_id, grace=0, wait="true")
    token: str = labels["jobrunner.state"]
    return token


def test_what_belongs_to_no_job_is_removed_on_start(
    service: Service, own_dockerd: Dockerd, tmp_path: Path
):
    name = leave_behind(service, own_dockerd)
    other = own_dockerd.client("create", "--network", "none", "test-busybox:1")
    service.stop()
    with again(service) as successor:
        successor.wait_for_line("orphans_removed")
        assert own_dockerd.containers(name) == []
        assert other in own_dockerd.client("ps", "--all", "--no-trunc", "--quiet")
    own_dockerd.client("rm", other)


def doctor(service: Service, dockerd: Dockerd, *arguments: str) -> dict[str, dict[str, Any]]:
    ran = subprocess.run(
        [sys.executable, "-m", "service", "doctor", "--json", *arguments],
        env={**os.environ, **dockerd.environment, "JOBRUNNER_STATE_DIR": str(service.state_dir)},  # noqa: TID251 - what a person's shell would pass
        capture_output=True,
        check=True,
        timeout=FUSE_S,
    )
    return {found["check"]: found for found in json.loads(ran.stdout)}


def test_the_doctor_tells_of_leftovers_and_removes_them(service: Service, own_dockerd: Dockerd):
    live = started(service, own_dockerd)
    name = leave_behind(service, own_dockerd)
    found = doctor(service, own_dockerd)
    assert (found["kind docker"]["verdict"], found["leftovers"]["verdict"]) == ("ok", "warning")
    assert name in found["leftovers"]["text"]
    assert live not in found["leftovers"]["text"]
    assert own_dockerd.containers(name) == [name]
    assert name in doctor(service, own_dockerd, "--fix")["leftovers"]["text"]
    assert own_dockerd.containers() == [f"jobrunner-{live}-0"]
    assert "leftovers" not in doctor(service, own_dockerd)
    service.kill(live, grace=0, wait="true")


def test_readiness_tells_whether_docker_answers(service: Service):
    kinds = service.client.get("/health/ready").json()["Kinds"]
    for name in ("bash", "docker"):
        assert kinds[name] == {"Usable": True, "Error": None}


def test_a_kill_while_the_daemon_is_away_says_that_it_saw_nothing_gone(
    service: Service, own_dockerd: Dockerd
):
    job_id = started(service, own_dockerd)
    own_dockerd.stop()
    service.kill(job_id, grace=0, wait="true")
    view = service.show(job_id)
    own_dockerd.start()
    assert (view["State"], view["Kill"]["VerifiedGone"]) == ("killed", False)
    assert own_dockerd.containers(job_id)
    service.stop()
    with again(service) as successor:
        successor.wait_for_line("orphans_removed")
        assert own_dockerd.containers(job_id) == []


def test_an_upgraded_supervisor_goes_on_with_its_containers(service: Service, own_dockerd: Dockerd):
    job_id = started(service, own_dockerd, "echo no")
    upgraded = subprocess.run(
        [sys.executable, "-m", "service", "supervisor", "upgrade"],
        env={**os.environ, "JOBRUNNER_STATE_DIR": str(service.state_dir)},  # noqa: TID251 - what a person's shell would pass
        capture_output=True,
        check=False,
        timeout=FUSE_S,
    )
    assert upgraded.returncode == 0, upgraded.stderr
    let_go(service, job_id, 2)
    view = service.wait(job_id)
    assert (view["State"], outcome(view)) == ("exited", ("exited", 7, None))
    assert view["Output"]["Complete"]
    assert service.output(job_id) == b"ready\non\nend\n"
    assert own_dockerd.containers(job_id) == []


def test_a_stopping_service_ends_its_containers(service: Service, own_dockerd: Dockerd):
    job_id = started(service, own_dockerd)
    assert service.stop() == 0
    assert own_dockerd.containers(job_id) == []

"""A stream that ends cleanly is whole: logs that went missing, became shorter, or are garbage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import httpx
import pytest
from answers import assert_problem
from gates import Gate
from running import Service, running

pytestmark = [pytest.mark.e2e, pytest.mark.once]
WORKERS = 2

SAID = 100_000


@pytest.fixture
def said(service: Service) -> tuple[str, Path]:
    """A finished job that has said much, and where its log is."""
    job_id = service.run(f"head -c {SAID} /dev/zero")["ID"]
    return job_id, service.state_dir / "logs" / job_id


def remove_all(log: Path) -> None:
    shutil.rmtree(log)


def remove_output(log: Path) -> None:
    (log / "output").unlink()


def remove_index(log: Path) -> None:
    (log / "runs").unlink()


def shorten(log: Path) -> None:
    os.truncate(log / "output", SAID - 1)


def empty(log: Path) -> None:
    os.truncate(log / "output", 0)


def cut_index(log: Path) -> None:
    os.truncate(log / "runs", 100)


def garble(log: Path) -> None:
    (log / "runs").write_bytes(os.urandom(1000))


@pytest.mark.parametrize(
    "harm", [remove_all, remove_output, remove_index, shorten, empty, cut_index, garble]
)
def test_a_log_that_lacks_something_is_never_told_as_whole(service: Service, said, harm):
    job_id, log = said
    assert service.output(job_id) == bytes(SAID)
    harm(log)
    for parameters in ({}, {"offset": "5"}, {"offset": str(SAID)}, {"follow": "false"}):
        assert_problem(service.client.get(f"/{job_id}/attach", params=parameters), 500)
    assert service.show(job_id)["Output"] == {
        "Bytes": SAID,
        "Complete": False,
        "Gaps": [],
        "Exact": True,
    }
    listed = service.client.get("/", params={"state": "all", "view": "full"})
    assert listed.status_code == 200


@pytest.mark.parametrize("harm", [remove_all, remove_output, remove_index, empty])
def test_a_short_one_is_no_exception(service: Service, harm):
    job_id = service.run("echo said")["ID"]
    harm(service.state_dir / "logs" / job_id)
    assert_problem(service.client.get(f"/{job_id}/attach"), 500)
    assert service.show(job_id)["Output"]["Complete"] is False


def test_a_log_of_an_earlier_moment_is_no_whole_one(service: Service, tmp_path: Path):
    gate = Gate(tmp_path / "gate")
    try:
        job_id = service.submit(f"echo one; read -r _ < {gate}; echo two")
        log = service.state_dir / "logs" / job_id
        with service.client.stream("GET", f"/{job_id}/attach") as answer:
            chunks = answer.iter_raw()
            assert next(chunks) == b"one\n"
            shutil.copytree(log, tmp_path / "copy")
            gate.open()
            assert b"".join(chunks) == b"two\n"
    finally:
        gate.close()
    shutil.rmtree(log)
    shutil.copytree(tmp_path / "copy", log)
    assert_problem(service.client.get(f"/{job_id}/attach"), 500)
    assert service.show(job_id)["Output"]["Complete"] is False


def test_a_log_that_vanishes_before_it_is_followed_cuts_the_reader(
    service: Service, tmp_path: Path
):
    gate = Gate(tmp_path / "gate")
    try:
        job_id = service.submit(f"echo one; read -r _ < {gate}; echo two")
        with service.client.stream("GET", f"/{job_id}/attach") as answer:
            assert next(answer.iter_raw()) == b"one\n"
        shutil.rmtree(service.state_dir / "logs" / job_id)
        with service.client.stream("GET", f"/{job_id}/attach") as answer:
            gate.open()
            with pytest.raises(httpx.RemoteProtocolError):
                answer.read()
    finally:
        gate.close()
    assert service.wait(job_id)["Output"]["Complete"] is False


def test_a_silent_job_is_whole_without_a_log(service: Service):
    view = service.run("true")
    assert not (service.state_dir / "logs" / view["ID"]).exists()
    assert service.output(view["ID"]) == b""
    assert view["Output"] == {"Bytes": 0, "Complete": True, "Gaps": [], "Exact": True}


def test_a_state_directory_that_is_no_text_serves_as_any(tmp_path: Path):
    state_dir = tmp_path / os.fsdecode(b"st\xe4te \xff")
    with running(state_dir, "--single-process") as service:
        job = {"CommandLine": "pwd; echo x > file; cat file", "WorkingDir": "a/b"}
        view = service.run(job)
        assert (view["ExitCode"], view["Error"]) == (0, None)
        assert view["WorkingDir"] == f"{tmp_path}/st\\xe4te \\xff/jobs/{view['ID']}/work/a/b"
        assert view["Commands"][0]["WorkingDir"] == view["WorkingDir"]
        where = os.fsencode(state_dir / "jobs" / view["ID"] / "work" / "a" / "b")
        assert service.output(view["ID"]) == where + b"\nx\n"
        assert service.client.get("/", params={"state": "all", "view": "full"}).status_code == 200
        live = service.submit("sleep 600")
        assert service.show(live)["State"] in ("pending", "running")
        assert service.kill(live, grace=0, wait="true")["State"] == "killed"
        assert service.client.post(f"/{view['ID']}/clean").status_code == 200
        assert service.client.get("/metrics").status_code == 200
        assert service.client.get("/health/ready").status_code == 200
        assert service.stop() == 0

"""Standard output that can't be written, and standard output that nobody reads."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest
from command_line import FUSE_S, CommandLine
from running import Service

pytestmark = [pytest.mark.e2e, pytest.mark.once]

FULL = b"jobrunner: Standard output can't be written: No space left on device."
# All that writes there, with a job that has ended and one line of output.
PRINTING = [
    ["run", "--", "echo", "x"],
    ["run", "-d", "--", "true"],
    ["attach", "JOB"],
    ["logs", "JOB"],
    ["logs", "-t", "JOB"],
    ["logs", "--all"],
    ["ps", "--all"],
    ["ps", "-aq"],
    ["ps", "-a", "-o", "json"],
    ["inspect", "JOB"],
    ["inspect", "-o", "table", "JOB"],
    ["kill", "JOB"],
    ["rerun", "JOB"],
    ["events"],
    ["cp", "JOB:made", "-"],
    ["clean", "--yes", "CLEANED"],
    ["context", "ls"],
    ["completion", "bash"],
    ["doctor"],
    ["doctor", "--json"],
    ["token", "list", "--json"],
    ["audit"],
    ["audit", "--help"],
    ["serve", "--help"],
    ["ps", "--help"],
    ["--help"],
    ["--version"],
]


@pytest.fixture(scope="module")
def cli(service: Service) -> CommandLine:
    state = {"JOBRUNNER_STATE_DIR": str(service.state_dir)}
    return CommandLine(service.url, **state, PYTHONUNBUFFERED="")


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    job_id = service.submit({"CommandLine": "echo x; echo made > made"})
    service.wait(job_id)
    return job_id


def words(service: Service, job: str, given: Sequence[str]) -> list[str]:
    cleaned = ""
    if "CLEANED" in given:
        cleaned = service.submit({"CommandLine": "true"})
        service.wait(cleaned)
    return [word.replace("JOB", job).replace("CLEANED", cleaned) for word in given]


@pytest.mark.parametrize("given", PRINTING, ids=" ".join)
def test_a_full_standard_output_is_told_in_a_line(service, cli, job, given):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*cli.command, *words(service, job, given)],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            env=cli.environment,
            timeout=FUSE_S,
            check=False,
        )
    said = done.stderr.splitlines()
    assert said.count(FULL) == 1, done.stderr
    assert all(line.startswith(b"jobrunner: ") for line in said)
    assert done.returncode == 125


@pytest.mark.parametrize(
    "given",
    [["ps", "--all"], ["run", "--", "echo", "x"], ["cp", "JOB:made", "-"], ["doctor"], ["--help"]],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nothing_is_said_when_nobody_reads(service, cli, job, given, unbuffered):
    with subprocess.Popen(
        [*cli.command, *words(service, job, given)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**cli.environment, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(FUSE_S) == 141
    assert [line for line in said.splitlines() if b"goes on" not in line] == []


def test_what_is_not_buffered_is_told_alike(cli):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*cli.command, "doctor"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**cli.environment, "PYTHONUNBUFFERED": "1"},
            timeout=FUSE_S,
            check=False,
        )
    assert (done.returncode, done.stderr.splitlines()) == (125, [FULL])

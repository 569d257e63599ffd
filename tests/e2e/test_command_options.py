"""What a bash command may ask for besides its command line, with real commands."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from running import Service, running

pytestmark = pytest.mark.e2e

VARIABLES = "A=file\nB=file\nC='of the\nfile'\nHOME=/elsewhere\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One with variables for all jobs."""
    place = tmp_path_factory.mktemp("options")
    file = place / "variables"
    file.write_text(VARIABLES)
    environment = {"JOBRUNNER_JOB_ENVIRONMENT": str(file), "LC_MESSAGES": "C"}
    environment["JOBRUNNER_DRAIN_GRACE"] = "0.2"
    with running(place / "state", environment=environment, workers=2) as service:
        yield service


def command(line: str, **keys: Any) -> dict[str, Any]:
    """A job of this one command."""
    return {"Commands": [{"CommandLine": line, **keys}]}


# One pipe for both streams

# As fast as a shell writes: with two pipes hardly a line stands where it was written.
ALTERNATING = "for ((i = 0; i < 2000; i++)); do echo $i; echo $i >&2; done"


def test_one_pipe_keeps_the_order_of_both_streams(service: Service) -> None:
    view = service.run(command(ALTERNATING, Stderr="stdout"))
    assert view["ExitCode"] == 0
    assert view["Commands"][0]["Stderr"] == "stdout"
    expected = [str(number).encode() for number in range(2000) for _ in range(2)]
    assert service.output(view["ID"]).split() == expected
    assert service.output(view["ID"], stream="stdout").split() == expected
    assert service.output(view["ID"], stream="stderr") == b""
    assert view["Output"] == {
        "Bytes": sum(map(len, expected)) + 4000,
        "Complete": True,
        "Gaps": [],
        "Exact": True,
    }


def test_each_command_says_whether_it_has_one_pipe(service: Service) -> None:
    line = "echo out; echo err >&2"
    job = {"Commands": [{"CommandLine": line, "Stderr": "stdout"}, {"CommandLine": line}]}
    view = service.run(job)
    assert [each["Stderr"] for each in view["Commands"]] == ["stdout", "stderr"]
    assert service.output(view["ID"], stream="stderr") == b"err\n"
    assert service.output(view["ID"], stream="stdout") == b"out\nerr\nout\n"


@pytest.mark.parametrize(
    ("job", "pointer"),
    [
        (command("true", Stderr="file"), "/Commands/0/Stderr"),
        (
            {"Commands": [{"Kind": "docker", "Image": "busybox:1", "Stderr": "stdout"}]},
            "/Commands/0/Stderr",
        ),
    ],
)
def test_a_stream_that_cannot_be_had_is_refused(
    service: Service, job: dict[str, Any], pointer: str
) -> None:
    problem = assert_problem(service.client.post("/", json=job), 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


# The shell


def test_a_shell_has_the_options_that_were_asked_for(service: Service) -> None:
    shell = ["bash", "-eo", "pipefail", "-l", "-c"]
    line = "shopt -q login_shell; echo login; false | true; echo not reached"
    view = service.run(command(line, Shell=shell))
    assert view["ExitCode"] == 1
    assert view["Commands"][0]["Shell"] == shell
    assert service.output(view["ID"]).split(b"\n")[-2] == b"login"  # a profile may say more


def test_each_command_has_its_own_shell(service: Service) -> None:
    line = 'echo "$0 ${BASH_VERSION:+is bash}"'
    job = {"Commands": [{"CommandLine": line}, {"CommandLine": line, "Shell": ["sh", "-c"]}]}
    view = service.run(job)
    assert [each["Shell"] for each in view["Commands"]] == [None, ["sh", "-c"]]
    first, second = service.output(view["ID"]).decode().splitlines()
    assert first.endswith("/bash is bash")
    assert second.split()[0].endswith("/sh")


def test_a_shell_that_is_not_allowed_is_refused(service: Service) -> None:
    job = command("true", Shell=["python3", "-c"])
    problem = assert_problem(service.client.post("/", json=job), 422)
    assert problem["errors"][0]["pointer"] == "/Commands/0/Shell/0"
    assert "JOBRUNNER_SHELLS" in problem["errors"][0]["detail"]


# Long scripts


def long_script(*lines: str) -> str:
    """These lines, at the end of a script that is no argument of a program."""
    return "\n".join([*[f": {'x' * 99}"] * 3000, *lines])


@pytest.mark.parametrize("shell", [["bash", "-ec"], ["sh", "-c"]])
def test_a_script_of_any_length_runs_as_a_short_one_does(
    service: Service, shell: list[str]
) -> None:
    line = 'echo "$0 $#"; cat; echo "käse ${BASH_VERSION:+$LINENO}" >&2; (exit 7)'
    short = service.run(command(line, Shell=shell))
    long = service.run(command(long_script(line), Shell=shell))
    assert (long["ExitCode"], long["Error"]) == (7, None)
    of_both = [service.output(view["ID"], stream="stdout") for view in (short, long)]
    assert of_both[0] == of_both[1]
    at = "3001" if shell[0] == "bash" else ""
    assert service.output(long["ID"], stream="stderr").decode() == f"käse {at}\n"


def test_a_long_script_is_gone_after_its_command(service: Service) -> None:
    line = 'stat -c "%a %U" ../script-*; ls ..'
    job = {"Commands": [{"CommandLine": long_script(line)}, {"CommandLine": "ls .."}]}
    view = service.run(job)
    assert service.output(view["ID"]).decode().split() == [
        "400",
        Path(f"/proc/{os.getpid()}").owner(),
        "script-0",
        "work",
        "work",
    ]


# What a job leaves


# Goes on when the process that was started last has become its program.
STARTED = "until read -r name < /proc/$!/comm && [ $name = {} ]; do :; done"


def test_what_a_job_leaves_is_told_and_ended(service: Service) -> None:
    lines = (
        f"sleep 600 > /dev/null 2>&1 & echo $!; {STARTED.format('sleep')}",
        f"setsid tail -f /dev/null > /dev/null 2>&1 & echo $!; {STARTED.format('tail')}",
    )
    view = service.run("\n".join(lines))
    sleep, tail = map(int, service.output(view["ID"]).split())
    assert view["State"] == "exited"
    names = {sleep: "sleep", tail: "tail"}
    left = [{"PID": pid, "Command": name, "Kept": False} for pid, name in names.items()]
    assert view["Left"] == sorted(left, key=lambda process: process["PID"])
    assert not [pid for pid in (sleep, tail) if Path(f"/proc/{pid}").exists()]


def test_a_filter_that_is_cut_off_is_told(service: Service) -> None:
    view = service.run(f"exec > >(exec tail -f /dev/null); {STARTED.format('tail')}; echo begun")
    assert view["ExitCode"] == 0
    assert [process["Command"] for process in view["Left"]] == ["tail"]


def test_what_a_kill_ends_is_in_its_receipt_and_not_left(service: Service) -> None:
    job_id = service.submit("sleep 600 & echo begun; wait")
    with service.client.stream("GET", f"/{job_id}/attach") as stream:
        assert next(stream.iter_bytes()) == b"begun\n"
    service.kill(job_id, wait="true")
    view = service.show(job_id)
    assert (view["Left"], view["Kill"]["Found"]) == ([], 2)


def test_a_server_of_an_earlier_command_is_told_at_the_end_of_the_job(service: Service) -> None:
    server = f"tail -f /dev/null > /dev/null 2>&1 & {STARTED.format('tail')}"
    view = service.run({"Commands": [{"CommandLine": server}, {"CommandLine": "true"}]})
    assert [process["Command"] for process in view["Left"]] == ["tail"]
    assert service.run("true")["Left"] == []


# Variables for all jobs


def test_a_variable_is_the_commands_then_the_jobs_then_that_for_all(service: Service) -> None:
    job = {
        "Environment": {"A": "job", "B": "job"},
        "Commands": [
            {"CommandLine": 'echo "$A $B $C $HOME $LC_MESSAGES"', "Environment": {"A": "command"}}
        ],
    }
    view = service.run(job)
    assert service.output(view["ID"]) == b"command job of the\nfile /elsewhere C\n"
    assert view["Environment"] == ["A", "B"]


def test_a_new_worker_has_the_variables_of_the_start(service: Service) -> None:
    (service.state_dir.parent / "variables").write_text("spoiled")
    os.kill(service.worker_pids()[-1], signal.SIGKILL)
    service.wait_for_line("worker_ready", len(service.worker_pids()) + 1)
    assert service.output(service.run("echo $A")["ID"]) == b"file\n"

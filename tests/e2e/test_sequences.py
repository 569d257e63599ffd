"""Several commands of one job: one after the other, in one directory, until one fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem, time_of
from gates import Gate, attached, lines
from running import Service, running
from watching import Watched

pytestmark = pytest.mark.e2e

DRAIN_GRACE_S = 0.2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    settings = {"JOBRUNNER_DRAIN_GRACE": str(DRAIN_GRACE_S)}
    with running(state_dir, environment=settings) as service:
        yield service


def sequence(*steps: str | dict[str, Any], **job: Any) -> dict[str, Any]:
    commands = [line if isinstance(line, dict) else {"CommandLine": line} for line in steps]
    return {"Commands": commands, **job}


def states(view: dict[str, Any]) -> list[str]:
    return [command["State"] for command in view["Commands"]]


def lasted_s(told: dict[str, Any]) -> float:
    """How long a job or a command took."""
    return (time_of(told["FinishedAt"]) - time_of(told["StartedAt"])).total_seconds()


# Order


def test_commands_run_in_order_into_one_output(service: Service):
    view = service.run(sequence(*(f"echo {n}; echo e{n} >&2" for n in range(10))))

    assert (view["State"], view["ExitCode"]) == ("exited", 0)
    assert states(view) == ["exited"] * 10
    assert service.output(view["ID"], stream="stdout").split() == [b"%d" % n for n in range(10)]
    assert service.output(view["ID"], stream="stderr").split() == [b"e%d" % n for n in range(10)]


def test_next_command_waits_for_the_one_before(service: Service, gate: Gate):
    job_id = service.submit(sequence(f"echo one; read -r _ < {gate}", "echo two"))
    with attached(service, job_id) as output:
        assert next(output) == "one"
        meanwhile = service.show(job_id)
        gate.open()
        assert next(output) == "two"

    assert (meanwhile["State"], states(meanwhile)) == ("running", ["running", "pending"])
    assert meanwhile["Commands"][1]["StartedAt"] is None


def test_files_pass_from_command_to_command(service: Service):
    view = service.run(sequence("pwd; echo made > file", "pwd; cat file; mkdir sub", "ls"))
    where = view["WorkingDir"]
    assert service.output(view["ID"]).decode() == f"{where}\n{where}\nmade\nfile\nsub\n"


def test_first_failure_ends_the_job(service: Service):
    view = service.run(sequence("echo one", "echo two; exit 7", "echo never", "exit 9"))

    assert (view["State"], view["ExitCode"]) == ("exited", 7)
    assert states(view) == ["exited", "exited", "skipped", "skipped"]
    assert service.output(view["ID"]) == b"one\ntwo\n"
    for skipped in view["Commands"][2:]:
        keys = ("ExitCode", "Signal", "Error", "StartedAt", "FinishedAt")
        assert [skipped[key] for key in keys] == [None] * 5


def test_death_by_a_signal_is_a_failure(service: Service):
    view = service.run(sequence("kill -SEGV $$", "echo never"))
    assert (view["ExitCode"], view["Signal"]) == (None, "SIGSEGV")
    assert states(view) == ["exited", "skipped"]


def test_command_that_may_fail_does_not_end_the_job(service: Service):
    def may_fail(line: str) -> dict[str, Any]:
        return {"CommandLine": line, "ContinueOnFailure": True}

    view = service.run(
        sequence(
            may_fail("exit 3"),
            may_fail("kill -KILL $$"),
            {"CommandLine": "true", "WorkingDir": "/no/such/place", "ContinueOnFailure": True},
            "echo last",
        )
    )
    assert (view["State"], view["ExitCode"], view["Error"]) == ("exited", 0, None)
    assert states(view) == ["exited"] * 4
    told = [(c["ExitCode"], c["Signal"]) for c in view["Commands"]]
    assert told == [(3, None), (None, "SIGKILL"), (None, None), (0, None)]
    assert "/no/such/place" in view["Commands"][2]["Error"]
    assert service.output(view["ID"]) == b"last\n"


def test_exit_code_is_that_of_the_last_command_that_ran(service: Service):
    view = service.run(sequence("true", {"CommandLine": "exit 4", "ContinueOnFailure": True}))
    assert (view["State"], view["ExitCode"]) == ("exited", 4)


def test_each_command_has_its_own_times(service: Service):
    view = service.run(sequence("true", "read -r -t 0.1 _ < <(sleep 600); true", "true"))
    times = [c[key] for c in view["Commands"] for key in ("StartedAt", "FinishedAt")]
    moments = [time_of(text) for text in [view["StartedAt"], *times, view["FinishedAt"]]]
    assert moments == sorted(moments)
    assert view["StartedAt"] == times[0]
    assert lasted_s(view["Commands"][1]) >= 0.1


def test_long_sequence_runs_to_its_end(service: Service):
    view = service.run(sequence(*["echo x"] * 200))
    assert states(view) == ["exited"] * 200
    assert service.output(view["ID"]) == b"x\n" * 200


def test_command_that_is_refused_after_one_that_ran(service: Service):
    refused = {"CommandLine": "echo never", "WorkingDir": "/no/such/place"}
    view = service.run(sequence("echo one", refused, "echo never"))

    assert (view["State"], view["ExitCode"], view["Signal"]) == ("exited", None, None)
    assert "/no/such/place" in view["Error"]
    assert view["Error"] == view["Commands"][1]["Error"]
    assert states(view) == ["exited", "exited", "skipped"]
    assert view["Commands"][1]["StartedAt"] is None
    assert view["StartedAt"] == view["Commands"][0]["StartedAt"]
    assert service.output(view["ID"]) == b"one\n"


def test_job_may_use_what_only_exists_once_it_runs(service: Service, tmp_path: Path):
    later = {"CommandLine": "pwd", "WorkingDir": str(tmp_path / "made")}
    view = service.run(sequence(f"mkdir {tmp_path}/made", later))
    assert service.output(view["ID"]).decode() == f"{tmp_path}/made\n"


# Environment and directories


def test_environment_of_a_command_lies_over_the_jobs_over_the_base(service: Service):
    show = "echo $A $B $C ${HOME:-none}"
    view = service.run(
        sequence(
            {"CommandLine": show, "Environment": {"B": "command", "HOME": "mine"}},
            {"CommandLine": show, "Environment": {"C": "other"}},
            show,
            Environment={"A": "job", "B": "job", "HOME": "of-job"},
        )
    )
    assert service.output(view["ID"]).decode().splitlines() == [
        "job command mine",
        "job job other of-job",
        "job job of-job",
    ]


@pytest.mark.parametrize(
    ("of_job", "of_command", "expected"),
    [
        (None, None, "{own}"),
        (None, "a/b", "{own}/a/b"),
        ("a", None, "{own}/a"),
        ("a", "b", "{own}/a/b"),
        ("./a/", "./b//c/.", "{own}/a/b/c"),
        ("a", "/tmp", "/tmp"),
        ("/tmp", None, "/tmp"),
        ("/tmp", "/", "/"),
    ],
)
def test_working_directory_of_a_command_is_relative_to_the_jobs(
    service: Service, of_job: str | None, of_command: str | None, expected: str
):
    command = {"CommandLine": "pwd"}
    job = sequence({**command, "WorkingDir": of_command} if of_command else command)
    view = service.run({**job, "WorkingDir": of_job} if of_job else job)

    where = expected.format(own=service.state_dir / "jobs" / view["ID"] / "work")
    assert service.output(view["ID"]).decode() == f"{where}\n"
    assert view["Commands"][0]["WorkingDir"] == where


def test_relative_directory_below_an_absolute_one_must_exist(service: Service, tmp_path: Path):
    (tmp_path / "there").mkdir()
    for name, code in (("there", 0), ("missing", None)):
        command = {"CommandLine": "true", "WorkingDir": name}
        assert service.run(sequence(command, WorkingDir=str(tmp_path)))["ExitCode"] == code
    assert not (tmp_path / "missing").exists()


def test_directory_that_cannot_be_made_is_an_outcome(service: Service):
    view = service.run(sequence("touch file", {"CommandLine": "true", "WorkingDir": "file/sub"}))
    assert view["ExitCode"] is None
    assert "file/sub" in view["Error"]


def test_no_link_leads_a_command_out_of_the_jobs_directory(service: Service, tmp_path: Path):
    for link, begins in ((tmp_path, "link"), ("../..", "link/made"), (tmp_path, "link/made")):
        made = {"CommandLine": "touch here", "WorkingDir": begins}
        view = service.run(sequence(f"ln -s {link} link", made))
        assert view["ExitCode"] is None
        assert "leads out" in view["Error"]
    assert list(tmp_path.iterdir()) == []


def test_a_link_within_the_jobs_directory_is_followed(service: Service):
    made = {"CommandLine": "pwd -P; cd ..; pwd -P", "WorkingDir": "link/made"}
    view = service.run(sequence("mkdir -p a/b; ln -s a/b link", made))
    own = f"{service.state_dir}/jobs/{view['ID']}/work"
    assert service.output(view["ID"]).decode() == f"{own}/a/b/made\n{own}/a/b\n"


# What a command leaves behind


def test_process_that_keeps_the_pipe_delays_its_command_by_the_drain_grace_only(
    service: Service, gate: Gate
):
    job_id = service.submit(sequence(f"sleep 600 & echo $!; read -r _ < {gate}", "echo next"))
    with attached(service, job_id) as output, Watched([int(next(output))]) as processes:
        gate.open()
        assert next(output) == "next"
        view = service.wait(job_id)
        assert processes.alive() == []

    assert (view["State"], view["ExitCode"], view["Kill"]) == ("exited", 0, None)
    assert view["Output"]["Complete"] is True
    assert DRAIN_GRACE_S <= lasted_s(view["Commands"][0]) < 600


def test_later_commands_can_use_what_an_earlier_one_left(service: Service, gate: Gate):
    serve = (
        "mkfifo ask answer;"
        ' (while read -r line < ask; do echo served >&2; echo "$line!" > answer; done) &'
        " echo $!"
    )
    ask = "echo {0} > ask; read -r line < answer; echo $line"
    last = f"read -r _ < {gate}; exit 5"
    job_id = service.submit(sequence(serve, ask.format("one"), ask.format("two"), last))
    with attached(service, job_id, stream="stdout") as output, Watched([int(next(output))]) as left:
        assert [next(output), next(output)] == ["one!", "two!"]
        gate.open()
        view = service.wait(job_id)
        assert left.alive() == []

    assert view["ExitCode"] == 5
    # What the earlier command's process wrote meanwhile is in the log too.
    assert service.output(job_id, stream="stderr") == b"served\nserved\n"
    assert view["Output"]["Complete"] is True


def test_server_on_the_network_lives_until_the_job_ends(service: Service, gate: Gate):
    server = """
import http.server, os
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
with open("port.new", "w") as file:
    file.write(str(server.server_port))
if os.fork():
    os.rename("port.new", "port")
    os._exit(0)
os.setsid()
print(os.getpid(), flush=True)
server.serve_forever()
"""
    client = r"""
exec 3<>/dev/tcp/127.0.0.1/$(<port)
printf "GET /port HTTP/1.0\r\n\r\n" >&3
tail -1 <&3
"""
    job_id = service.submit(
        sequence(f"{sys.executable} -c '{server}'", client, f"{client} cat port; read < {gate}")
    )
    with attached(service, job_id, stream="stdout") as output, Watched([int(next(output))]) as left:
        gate.open()
        replies = "".join(output)
        assert left.alive() == []
    view = service.show(job_id)
    assert (view["State"], view["ExitCode"]) == ("exited", 0)
    port = (Path(view["WorkingDir"]) / "port").read_text()
    assert replies == port * 3


def test_nothing_of_a_job_is_left_when_it_ended_by_itself(service: Service, gate: Gate):
    script = (
        "mkfifo up; (setsid bash -c 'echo $$ > up; exec sleep 600 >&- 2>&-' &);"
        " setsid sleep 600 > /dev/null 2>&1 & echo $!; sleep 600 & echo $!"
    )
    job_id = service.submit(sequence(script, f"cat up; read -r _ < {gate}"))
    with Watched(map(int, lines(service, job_id, 3))) as left:
        gate.open()
        view = service.wait(job_id)
        assert left.alive() == []
    assert (view["State"], view["Reason"], view["Kill"]) == ("exited", None, None)


def test_what_is_left_and_ignores_term_is_killed(service: Service, gate: Gate):
    job_id = service.submit(f"trap '' TERM; sleep 600 & echo $!; read -r _ < {gate}")
    with Watched(map(int, lines(service, job_id, 1))) as left:
        gate.open()
        view = service.wait(job_id)
        assert left.alive() == []
    assert (view["State"], view["ExitCode"], view["Kill"]) == ("exited", 0, None)


def test_each_command_knows_its_number(service: Service):
    view = service.run(sequence(*["echo $JOBRUNNER_COMMAND"] * 3))
    assert service.output(view["ID"]) == b"0\n1\n2\n"


def test_sequence_of_one_is_the_same_as_a_command_line(service: Service):
    one, other = service.run("echo x; exit 3"), service.run(sequence("echo x; exit 3"))
    differs = {"ID", "CreatedAt", "StartedAt", "FinishedAt", "Duration", "WorkingDir"}
    differs |= {"Commands", "Usage"}
    assert {k: v for k, v in one.items() if k not in differs} == {
        k: v for k, v in other.items() if k not in differs
    }
    assert_problem(service.client.get(f"/{one['ID']}/attach", params={"offset": 3}), 416)

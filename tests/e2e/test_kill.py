"""A kill ends the whole tree, and its receipt says how it went: where cgroups are writable, and
where they aren't.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem, time_of
from gates import Gate, attached, lines
from running import Service, running
from watching import Watched

pytestmark = pytest.mark.e2e

MAX_PENDING = 20


@pytest.fixture(
    scope="module",
    params=["walk", pytest.param("cgroup", marks=pytest.mark.cgroup)],
)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A service that finds a job's processes in the one way, and in the other."""
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    setting = {"walk": "off", "cgroup": "auto"}[request.param]
    with running(state_dir, workers=2, environment={"JOBRUNNER_CGROUP": setting}) as service:
        if has_cgroups(state_dir) != (request.param == "cgroup"):
            pytest.skip("no cgroup v2 is writable here")
        yield service


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that runs one job at a time, and waits long for the end of output."""
    settings = {"JOBRUNNER_MAX_RUNNING": "1", "JOBRUNNER_DRAIN_GRACE": "600"}
    settings["JOBRUNNER_MAX_PENDING"] = str(MAX_PENDING)
    state_dir = tmp_path_factory.mktemp("narrow") / "jobrunner"
    with running(state_dir, "--single-process", environment=settings) as service:
        yield service


def has_cgroups(state_dir: Path) -> bool:
    """What the supervisor found when it started."""
    notes = [json.loads(line) for line in (state_dir / "supervisor.log").read_text().splitlines()]
    # On a box so busy that workers need more than five seconds, the first has ended meanwhile.
    *_, started = [note for note in notes if note["event"] == "supervisor_started"]
    cgroup: bool = started["cgroup"]
    return cgroup


def pids_of(service: Service, job_id: str, count: int) -> list[int]:
    """The numbers that the job's processes print as their first lines."""
    return [int(line) for line in lines(service, job_id, count)]


# Who belongs to the tree: a script whose processes print their numbers and stay, how many they
# are, and whether TERM is enough.
TREES = {
    "children": ("sleep 600 & echo $!; sleep 600 & echo $!; echo $$; wait", 3, True),
    "process groups": (
        "set -m; sleep 600 & echo $!; (sleep 600 & echo $!; wait) & echo $!; echo $$; wait",
        4,
        True,
    ),
    "sessions": (
        "setsid bash -c 'echo $$; sleep 600 & echo $!; wait' & setsid sleep 600 & echo $$; wait",
        3,
        True,
    ),
    "daemons": (
        (
            "for i in 1 2 3; do (setsid bash -c 'echo $$; exec sleep 600 <&- >&- 2>&-' &); done;"
            " echo $$; exec sleep 600"
        ),
        4,
        True,
    ),
    "orphans of the first command's tree": (
        "(bash -c 'sleep 600 & echo $!' &); (sleep 600 & echo $!); echo $$; exec sleep 600",
        3,
        True,
    ),
    "without the job's environment": (
        (
            "env -i bash -c 'sleep 600 & echo $!; echo $$; wait' & env -i sleep 600 & echo $!;"
            " echo $$; wait"
        ),
        4,
        True,
    ),
    "ignoring TERM": (
        "trap '' TERM HUP INT; sleep 600 & echo $!; setsid sleep 600 & echo $!; echo $$; wait",
        3,
        False,
    ),
    "daemons that ignore TERM": (
        (
            "trap '' TERM; (setsid bash -c 'echo $$; exec sleep 600 >&- 2>&-' &); echo $$;"
            " exec sleep 600"
        ),
        2,
        False,
    ),
    "stopped": (
        (
            "sleep 600 & kill -STOP $!; echo $!; setsid bash -c 'echo $$; kill -STOP $$' & echo $$;"
            " wait"
        ),
        3,
        True,
    ),
    "stopped altogether": ("echo $$; kill -STOP $$", 1, True),
    "stopped and ignoring TERM": (
        "trap '' TERM; sleep 600 & kill -STOP $!; echo $!; echo $$; kill -STOP $$",
        2,
        False,
    ),
    "a crowd": (
        "for i in {1..100}; do sleep 600 & echo $!; done; echo $$; wait",
        101,
        True,
    ),
}


@pytest.mark.parametrize("tree", TREES)
def test_kill_ends_the_whole_tree(service: Service, tree: str):
    script, count, is_obedient = TREES[tree]
    job_id = service.submit(script)
    with Watched(pids_of(service, job_id, count)) as processes:
        answer = service.kill(job_id, wait="true", grace="30" if is_obedient else "0.1")

        assert processes.alive() == []
    assert answer["State"] == "killed"
    kill = service.show(job_id)["Kill"]
    assert kill["Found"] >= count
    assert kill["Escalated"] is not is_obedient
    assert kill["VerifiedGone"] is True


@pytest.mark.parametrize("tree", TREES)
def test_grace_of_zero_ends_the_whole_tree_at_once(service: Service, tree: str):
    script, count, _ = TREES[tree]
    job_id = service.submit(script)
    with Watched(pids_of(service, job_id, count)) as processes:
        service.kill(job_id, wait="true", grace=0)
        assert processes.alive() == []
    view = service.show(job_id)
    assert (view["State"], view["Reason"], view["Signal"]) == ("killed", "requested", "SIGKILL")
    kill = view["Kill"]
    assert kill["Found"] >= count
    assert (kill["Grace"], kill["Escalated"], kill["VerifiedGone"]) == (0, False, True)


def test_process_that_drops_everything_is_killed_where_cgroups_are_writable(service: Service):
    script = "(env -i setsid bash -c 'echo $$; exec sleep 600 >&- 2>&-' &); echo $$; exec sleep 600"
    job_id = service.submit(script)
    with Watched(pids_of(service, job_id, 2)) as processes:
        service.kill(job_id, wait="true")
        kill = service.show(job_id)["Kill"]
        left = processes.alive()
        processes.signal(signal.SIGKILL)
        processes.wait_gone()
    # Without cgroups nothing tells whose it is: then the receipt counts what was seen, and no more.
    assert kill["Found"] == 2 - len(left)
    assert kill["VerifiedGone"] is True
    assert not left or not has_cgroups(service.state_dir)


def test_process_born_during_the_grace_is_killed_too(service: Service):
    script = "trap 'sleep 600 & echo $!' TERM; sleep 600 & echo $!; echo $$; wait; wait"
    job_id = service.submit(script)
    with attached(service, job_id) as output:
        old = [int(next(output)) for _ in range(2)]
        service.kill(job_id, grace=600)
        born = int(next(output))
        with Watched([old[1], born]) as processes:
            service.kill(job_id, grace=0, wait="true")
            assert processes.alive() == []
    kill = service.show(job_id)["Kill"]
    assert (kill["Found"], kill["Escalated"], kill["VerifiedGone"]) == (3, True, True)


# The record


def test_receipt_says_how_it_went(service: Service):
    job_id = service.submit("echo $$; sleep 600 & echo $!; wait")
    pids_of(service, job_id, 2)
    before = datetime.now(UTC)
    answer = service.kill(job_id)
    after = datetime.now(UTC)
    view = service.wait(job_id)

    assert answer["State"] in ("running", "killed")
    kill = view["Kill"]
    assert before <= time_of(kill.pop("RequestedAt")) <= after
    assert kill == {
        "Signal": "SIGTERM",
        "Signals": ["SIGTERM"],
        "Grace": 10,
        "Found": 2,
        "Escalated": False,
        "VerifiedGone": True,
    }
    assert (view["State"], view["Reason"]) == ("killed", "requested")
    assert (view["ExitCode"], view["Signal"], view["Error"]) == (None, "SIGTERM", None)
    (command,) = view["Commands"]
    assert (command["State"], command["Signal"]) == ("killed", "SIGTERM")
    assert view["Output"]["Complete"] is True


def test_kill_is_recorded_at_once(service: Service):
    job_id = service.submit("trap '' TERM; echo ready; exec sleep 600")
    lines(service, job_id, 1)
    assert service.kill(job_id, grace=600, signal="TERM") == {"ID": job_id, "State": "running"}

    view = service.show(job_id)
    assert (view["State"], view["Reason"], view["FinishedAt"]) == ("running", None, None)
    kill = view["Kill"]
    time_of(kill.pop("RequestedAt"))
    assert kill == {
        "Signal": "SIGTERM",
        "Signals": ["SIGTERM"],
        "Grace": 600,
        "Found": None,
        "Escalated": None,
        "VerifiedGone": None,
    }
    service.kill(job_id, grace=0, wait="true")


@pytest.mark.parametrize("name", ["INT", "SIGINT"])
def test_signal_may_be_chosen(service: Service, gate: Gate, name: str):
    job_id = service.submit(f"trap 'echo interrupted; exit 3' INT; echo ready; read -r _ < {gate}")
    lines(service, job_id, 1)
    service.kill(job_id, signal=name, wait="true")

    view = service.show(job_id)
    assert (view["State"], view["ExitCode"], view["Signal"]) == ("killed", 3, None)
    assert view["Kill"]["Signal"] == "SIGINT"
    assert service.output(job_id) == b"ready\ninterrupted\n"


def test_signal_kill_needs_no_grace(service: Service):
    job_id = service.submit("trap '' TERM; echo $$; exec sleep 600")
    with Watched(pids_of(service, job_id, 1)) as processes:
        service.kill(job_id, signal="KILL", wait="true")
        assert processes.alive() == []
    kill = service.show(job_id)["Kill"]
    assert (kill["Signal"], kill["Escalated"]) == ("SIGKILL", False)


def test_job_that_exits_by_itself_after_the_signal_is_killed(service: Service):
    job_id = service.submit("trap 'echo bye; exit 0' TERM; echo ready; sleep 600 & wait")
    lines(service, job_id, 1)
    service.kill(job_id, wait="true")

    view = service.show(job_id)
    assert (view["State"], view["ExitCode"], view["Signal"]) == ("killed", 0, None)
    assert service.output(job_id) == b"ready\nbye\n"


def test_grace_of_the_job_holds_when_the_request_names_none(service: Service):
    job_id = service.submit(
        {"CommandLine": "trap '' TERM; echo ready; exec sleep 600", "Grace": 0.125}
    )
    lines(service, job_id, 1)
    service.kill(job_id, wait="true")
    kill = service.show(job_id)["Kill"]
    assert (kill["Grace"], kill["Escalated"]) == (0.125, True)


def test_second_kill_sends_its_signal_and_only_shortens(service: Service):
    traps = "trap 'echo interrupted' INT; trap 'echo terminated' TERM"
    job_id = service.submit(f"{traps}; echo ready; while :; do sleep 600 & wait; done")
    with attached(service, job_id) as output:
        assert next(output) == "ready"
        service.kill(job_id, grace=600, signal="INT")
        assert next(output) == "interrupted"
        first = service.show(job_id)["Kill"]
        assert (first["Signals"], first["Grace"]) == (["SIGINT"], 600)
        service.kill(job_id, grace=900)
        assert next(output) == "terminated"
        second = service.show(job_id)["Kill"]
        assert second == {**first, "Signals": ["SIGINT", "SIGTERM"]}
        service.kill(job_id, grace=0.1, wait="true")

    kill = service.show(job_id)["Kill"]
    assert kill["RequestedAt"] == first["RequestedAt"]
    assert (kill["Signal"], kill["Grace"], kill["Escalated"]) == ("SIGINT", 0.1, True)
    assert kill["Signals"] == ["SIGINT", "SIGTERM", "SIGTERM", "SIGKILL"]


def test_plain_second_kill_ends_what_ignores_the_first(service: Service):
    job_id = service.submit("trap '' INT; echo ready; sleep 600")
    lines(service, job_id, 1)
    service.kill(job_id, signal="INT", grace=300)
    assert service.kill(job_id, wait="true")["State"] == "killed"
    kill = service.show(job_id)["Kill"]
    assert (kill["Signals"], kill["Grace"]) == (["SIGINT", "SIGTERM"], 10)
    assert (kill["Escalated"], kill["VerifiedGone"]) == (False, True)


def test_kill_of_an_ended_job_changes_nothing(service: Service):
    for command in ("echo x; exit 3", "echo x; kill -KILL $$"):
        before = service.run(command)
        for parameters in ({}, {"grace": 0}, {"wait": "true", "signal": "INT"}):
            assert service.kill(before["ID"], **parameters)["State"] == "exited"
        assert service.show(before["ID"]) == before
        assert service.output(before["ID"]) == b"x\n"

    job_id = service.submit("sleep 600")
    service.kill(job_id, wait="true")
    killed = service.show(job_id)
    service.kill(job_id, grace=0)
    assert service.show(job_id) == killed


def test_job_killed_at_its_birth_is_killed_once(service: Service):
    ids = [service.submit("sleep 600") for _ in range(20)]
    ids += [service.submit("trap '' TERM; echo $$; exec sleep 600") for _ in range(4)]

    def kill(job_id: str) -> dict[str, Any]:
        return service.kill(job_id, wait="true", grace=0.1)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(kill, ids * 2))
    assert [answer["State"] for answer in answers] == ["killed"] * 48
    for job_id in ids:
        kill_receipt = service.show(job_id)["Kill"]
        assert kill_receipt["VerifiedGone"] is True
        assert kill_receipt["Found"] <= 1


def test_kill_goes_on_when_its_asker_goes_away(service: Service):
    job_id = service.submit("echo $$; exec sleep 600")
    with Watched(pids_of(service, job_id, 1)) as processes:
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(
                f"DELETE /{job_id}?wait=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
        processes.wait_gone()
    assert service.wait(job_id)["State"] == "killed"


# Timeout


def test_timeout_ends_the_job_and_keeps_its_output(service: Service):
    job_id = service.submit({"CommandLine": "printf partial; sleep 600", "Timeout": 0.5})
    view = service.wait(job_id)

    assert (view["State"], view["Reason"], view["Signal"]) == ("killed", "timeout", "SIGTERM")
    assert view["Kill"]["Signal"] == "SIGTERM"
    assert (view["Kill"]["Escalated"], view["Kill"]["VerifiedGone"]) == (False, True)
    assert service.output(job_id) == b"partial"
    assert view["Output"] == {**view["Output"], "Bytes": 7, "Complete": True}
    lasted = time_of(view["FinishedAt"]) - time_of(view["StartedAt"])
    assert lasted.total_seconds() >= 0.5


def test_timeout_escalates_after_the_grace_of_the_job(service: Service):
    job_id = service.submit(
        {"CommandLine": "trap '' TERM; echo $$; exec sleep 600", "Timeout": 0.5, "Grace": 0.1}
    )
    with Watched(pids_of(service, job_id, 1)) as processes:
        view = service.wait(job_id)
        assert processes.alive() == []
    assert (view["Reason"], view["Signal"]) == ("timeout", "SIGKILL")
    assert (view["Kill"]["Grace"], view["Kill"]["Escalated"]) == (0.1, True)


def test_timeout_is_of_the_whole_job(service: Service):
    first = {"CommandLine": "echo first; exit 1", "ContinueOnFailure": True}
    view = service.run(
        {
            "Timeout": 0.5,
            "Commands": [
                first,
                {"CommandLine": "sleep 600", "ContinueOnFailure": True},
                {"CommandLine": "echo never"},
            ],
        }
    )
    assert (view["State"], view["Reason"]) == ("killed", "timeout")
    assert view["Commands"][2]["State"] == "skipped"
    assert service.output(view["ID"]) == b"first\n"


def test_idle_timeout_ends_a_silent_job_and_keeps_its_output(service: Service):
    job_id = service.submit({"CommandLine": "printf partial; sleep 600", "IdleTimeout": 0.5})
    view = service.wait(job_id)

    assert (view["State"], view["Reason"], view["Signal"]) == ("killed", "idle-timeout", "SIGTERM")
    assert (view["IdleTimeout"], view["Timeout"]) == (0.5, None)
    assert (view["Kill"]["Escalated"], view["Kill"]["VerifiedGone"]) == (False, True)
    assert service.output(job_id) == b"partial"


# Pending jobs, and between two commands


def test_pending_job_that_is_killed_never_starts(narrow: Service, gate: Gate, tmp_path: Path):
    marker = tmp_path / "marker"
    first = narrow.submit(f"read -r _ < {gate}")
    killed = narrow.submit({"CommandLine": f"touch {marker}", "Labels": {"test": "pending"}})
    last = narrow.submit("echo last")
    pending = narrow.show(killed)
    listed = narrow.client.get("/", params={"state": "pending"}).json()["IDs"]
    with narrow.client.stream("GET", f"/{killed}/attach") as answer:
        assert narrow.kill(killed, wait="true") == {"ID": killed, "State": "killed"}
        output = answer.read()
    view = narrow.show(killed)
    gate.open()
    assert narrow.wait(last)["ExitCode"] == 0

    assert (pending["State"], pending["StartedAt"]) == ("pending", None)
    assert listed == [killed, last]
    assert (view["State"], view["Reason"], view["StartedAt"]) == ("killed", "requested", None)
    assert (view["ExitCode"], view["Signal"], view["Error"]) == (None, None, None)
    assert view["Commands"][0]["State"] == "skipped"
    kill = view["Kill"]
    assert (kill["Found"], kill["Escalated"], kill["VerifiedGone"]) == (0, False, True)
    assert view["Output"] == {**view["Output"], "Bytes": 0, "Complete": True}
    assert output == narrow.output(killed) == b""
    assert not marker.exists()
    assert narrow.wait(first)["State"] == "exited"
    assert narrow.client.post(f"/{killed}/clean").status_code == 200


def test_queue_timeout_kills_a_pending_job(narrow: Service, gate: Gate, tmp_path: Path):
    first = narrow.submit(f"read -r _ < {gate}")
    view = narrow.run({"CommandLine": f"touch {tmp_path}/marker", "QueueTimeout": 0.2})
    gate.open()
    assert narrow.wait(first)["ExitCode"] == 0

    assert (view["State"], view["Reason"]) == ("killed", "queue-timeout")
    assert (view["QueueTimeout"], view["StartedAt"]) == (0.2, None)
    assert (view["Kill"]["Found"], view["Kill"]["VerifiedGone"]) == (0, True)
    assert time_of(view["FinishedAt"]) - time_of(view["CreatedAt"]) >= timedelta(seconds=0.2)
    assert not (tmp_path / "marker").exists()


def test_pending_jobs_of_higher_priority_run_first(narrow: Service, gate: Gate, tmp_path: Path):
    log = tmp_path / "log"
    ids = [narrow.submit(f"read -r _ < {gate}")]
    for priority in (-1, 0, 100, 0, 5):
        line = f"echo {priority} >> {log}"
        ids.append(narrow.submit({"CommandLine": line, "Priority": priority}))
    gate.open()
    views = [narrow.wait(job_id) for job_id in ids]

    assert log.read_text().split() == ["100", "5", "0", "0", "-1"]
    assert [view["Priority"] for view in views] == [0, -1, 0, 100, 0, 5]


def test_submission_beyond_the_pending_jobs_that_may_be_is_told_to_come_again(
    narrow: Service, gate: Gate
):
    ids = [narrow.submit(f"read -r _ < {gate}") for _ in range(MAX_PENDING + 1)]
    key = {"Idempotency-Key": "once"}
    refused = narrow.client.post("/", json={"CommandLine": "true"}, headers=key)
    problem = assert_problem(refused, 429)
    gate.open(len(ids))
    for job_id in ids:
        narrow.wait(job_id)
    later = narrow.client.post("/", json={"CommandLine": "true"}, headers=key)

    assert int(refused.headers["retry-after"]) > 0
    assert str(MAX_PENDING) in problem["detail"]
    assert later.status_code == 201
    assert narrow.wait(later.json()["ID"])["ExitCode"] == 0


def test_pending_jobs_run_first_come_first_served(narrow: Service, gate: Gate, tmp_path: Path):
    log = tmp_path / "log"
    ids = [narrow.submit(f"read -r _ < {gate}")]
    ids += [narrow.submit(f"echo {n} >> {log}") for n in range(8)]
    gate.open()
    views = [narrow.wait(job_id) for job_id in ids]

    assert log.read_text().split() == [str(n) for n in range(8)]
    for before, after in pairwise(views):
        assert time_of(before["FinishedAt"]) <= time_of(after["StartedAt"])


def test_process_that_holds_no_pipe_is_not_waited_for(narrow: Service, gate: Gate):
    job_id = narrow.submit(f"sleep 600 > /dev/null 2>&1 & echo $!; read -r _ < {gate}")
    with Watched(pids_of(narrow, job_id, 1)) as processes:
        gate.open()
        view = narrow.wait(job_id)
        assert processes.alive() == []
    assert (view["State"], view["Kill"]) == ("exited", None)


def test_kill_between_two_commands_starts_no_other(narrow: Service):
    # What follows the first command waits for the end of its output, which a daemon holds; that
    # one learns of the command's end by the end of its own input.
    first = "exec 3> >(setsid bash -c 'cat; echo $$; exec sleep 600'); exit 0"
    job_id = narrow.submit(
        {"Commands": [{"CommandLine": first}, {"CommandLine": "echo never"}], "Grace": 5}
    )
    with Watched(pids_of(narrow, job_id, 1)) as processes:
        narrow.kill(job_id, wait="true")
        assert processes.alive() == []

    view = narrow.show(job_id)
    assert (view["State"], view["Reason"], view["ExitCode"]) == ("killed", "requested", 0)
    assert (view["Commands"][0]["ExitCode"], view["Commands"][1]["State"]) == (0, "skipped")
    assert b"never" not in narrow.output(job_id)

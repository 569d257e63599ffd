"""What the engine sends is what the supervisor accepts."""

import json
import typing
from dataclasses import replace

import pytest

from service.engine.claim_message import claim_message, kill_messages, reclaim_message
from service.engine.start_message import start_message
from service.jobs.ceilings import Ceilings
from service.jobs.decoding import decode_object
from service.jobs.limits import Limits
from service.jobs.record import CommandOutcome, JobRecord, Kill
from service.jobs.states import Reason
from service.kinds.bash import Bash
from service.kinds.settings import read_settings
from service.kinds.validation import validate_job
from service.link import start, to_supervisor
from service.link.session import framed
from service.link.validation import checker
from service.settings import RunAs

VARIABLES = {"JOBRUNNER_STATE_DIR": "/state", "PATH": "/usr/bin:/bin"}
SETTINGS = read_settings(VARIABLES)
JOB_ID = "00000000-0000-4000-8000-000000000000"


def job(**members):
    return validate_job(decode_object(json.dumps(members).encode()), SETTINGS)


def accept(message_type, message):
    """As the supervisor reads it. Raises: InvalidMessage."""
    read = json.loads(framed(message)[4:])
    checker(message_type)(read)
    known = typing.get_type_hints(message_type)
    assert read.keys() <= known.keys(), "each key is declared"
    return read


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"run_as": RunAs("some", 1000, 1000, "/home/some")},
        {"run_as": RunAs("some", 1000, 1000, "/home/some"), "allow_new_privileges": True},
        {"sandbox": "bwrap", "output_limit": 1 << 20, "limit_memory": 1 << 20},
    ],
    ids=["plain", "others", "privileges", "sandbox"],
)
@pytest.mark.parametrize(
    "members",
    [
        {"CommandLine": "true"},
        {"CommandLine": "true", "Environment": {"A": "ä", "B": ""}, "WorkingDir": "/tmp"},
        {
            "Commands": [
                {"CommandLine": "true", "ContinueOnFailure": True, "WorkingDir": "a/b"},
                {"Kind": "docker", "Image": "a", "Environment": {"PATH": "/evil"}},
            ],
            "Timeout": 3,
            "IdleTimeout": 0.5,
            "Limits": {
                "Memory": 1 << 30,
                "CPUs": 0.5,
                "PIDs": 3,
                "OpenFiles": 99,
                "FileSize": 7777,
            },
        },
    ],
    ids=["one", "environment", "two"],
)
def test_every_start_is_accepted(settings, members):
    spec = job(**members)
    for of_service in (SETTINGS, read_settings({**VARIABLES, "JOBRUNNER_DOCKER_USER": "1000"})):
        for number in range(len(spec.commands)):
            message = start_message(replace(of_service, **settings), JOB_ID, spec, number)
            accept(start.Start, message)


def test_a_start_of_a_command_that_cannot_run_says_why():
    spec = job(CommandLine="true", Environment={f"V{n}": "" for n in range(3000)})
    settings = replace(SETTINGS, sandbox="bwrap")
    message = accept(start.Start, start_message(settings, JOB_ID, spec, 0))
    assert "variables" in message["refusal"]


def test_every_claim_is_accepted():
    spec = job(CommandLine="true", Priority=-3, QueueTimeout=60, Grace=1)
    accept(to_supervisor.Claim, claim_message(JOB_ID, job(CommandLine="true"), principal=None))
    ceilings = Ceilings(pending=3, running=2)
    claim = claim_message(JOB_ID, spec, principal="ann", ceilings=ceilings)
    assert accept(to_supervisor.Claim, claim) == {
        "type": "claim",
        "job": JOB_ID,
        "principal": "ann",
        "max_pending": 3,
        "max_running": 2,
        "priority": -3,
        "queue_timeout_s": 60,
        "grace_s": 1,
    }
    record = JobRecord(id=JOB_ID, created_at=1, spec=b"{}", commands=(CommandOutcome(),))
    claim = accept(to_supervisor.Claim, reclaim_message(record, spec))
    assert (claim["stored"], claim["dispatched"], claim["queue_timeout_s"]) == (True, -1, 0)


def test_a_recorded_kill_is_accepted():
    kill = Kill(reason=Reason.REQUESTED, requested_at=1, signal="SIGRTMIN+3", grace_s=0.5)
    (message,) = kill_messages(JOB_ID, kill)
    assert accept(to_supervisor.Kill, message)["is_repeat"]


def test_limits_have_the_same_names_on_the_wire_as_in_a_spec():
    assert start.Limits.__annotations__.keys() == set(Limits.__struct_fields__)


def test_a_start_that_cannot_be_made_refuses_the_command(monkeypatch):
    def plan(*_):
        raise UnicodeEncodeError("ascii", "ä", 0, 1, "a fault of ours")

    monkeypatch.setattr(Bash, "plan", plan)
    spec = job(Commands=[{"CommandLine": "true", "ContinueOnFailure": True}, {"CommandLine": "a"}])
    message = accept(start.Start, start_message(SETTINGS, JOB_ID, spec, 0))
    assert message["refusal"] == "The command could not be started: UnicodeEncodeError."
    assert message["end_if"] == "never"


def test_only_a_job_with_an_input_is_started_with_one():
    """A job without one has the message, and costs what it costs, as before there was any."""
    commands = [{"CommandLine": "cat"}, {"Kind": "docker", "Image": "a"}]
    for number in range(2):
        without = start_message(SETTINGS, JOB_ID, job(Commands=commands), number)
        assert not {"stdin", "input_index"} & without.keys()
        having = start_message(SETTINGS, JOB_ID, job(Commands=commands, Stdin=True), number)
        accept(start.Start, having)
        assert having["stdin"]
    assert having["argv"][having["input_index"] - 1] == "--env-file"
    assert "--interactive" in having["argv"]
    assert "--interactive" not in without["argv"]

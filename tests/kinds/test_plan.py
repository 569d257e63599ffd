"""Whose environment a program gets."""

from dataclasses import replace

import pytest

from service.engine.start_message import start_message
from service.errors import InvalidJob
from service.files.job import JobFiles
from service.jobs.decoding import decode_object
from service.jobs.terminal import Terminal
from service.kinds import Context, Plan
from service.kinds.docker.settings import DockerSettings
from service.kinds.settings import read_settings
from service.kinds.validation import validate_job
from service.settings import RunAs

SETTINGS = read_settings(
    {
        "JOBRUNNER_STATE_DIR": "/state",
        "PATH": "/usr/bin:/bin",
        "HOME": "/of-service",
        "DOCKER_HOST": "unix:///of-service",
        "SECRET": "of-service",
    }
)
BODY = (
    b'{"Environment": {"LD_PRELOAD": "/evil", "DOCKER_HOST": "tcp://evil"}, "Commands": ['
    b'{"CommandLine": "true"}, {"Kind": "docker", "Image": "a", "Environment": {"PATH": "/evil"}}]}'
)


def message(number, **changes):
    settings = replace(SETTINGS, **changes)
    return start_message(settings, "some-id", validate_job(decode_object(BODY), settings), number)


def test_a_program_of_the_service_can_not_be_planned_with_variables_of_a_job():
    with pytest.raises(ValueError, match="alone"):
        Plan(argv=("docker",), environment={"LD_PRELOAD": "/evil"}, as_service_user=True)


def test_a_container_is_run_with_the_services_environment_and_reads_the_jobs_as_lines():
    start = message(1)
    marker = {"JOBRUNNER_JOB_ID": "some-id", "JOBRUNNER_COMMAND": "1"}
    own = SETTINGS.environment_for(DockerSettings)
    assert start["env"] == start["hook_env"] == {**own, **marker}
    assert "SECRET" not in start["env"]
    assert start["as_service_user"]
    assert "LD_PRELOAD=/evil\n" in start["input"]
    assert not [word for word in start["argv"] if "evil" in word]
    assert "no_new_privs" not in start


def test_a_job_has_its_own_environment_and_none_of_the_programs():
    start = message(0, run_as=RunAs("some", 1000, 1000, "/home/some"))
    assert (start["env"]["LD_PRELOAD"], start["env"]["HOME"]) == ("/evil", "/home/some")
    assert start["env"]["DOCKER_HOST"] == "tcp://evil"
    assert (start["run_as"], start["no_new_privs"]) == ({"uid": 1000, "gid": 1000}, True)
    assert not {"hook_env", "as_service_user", "fd_options"} & start.keys()
    allowed = message(0, run_as=RunAs("some", 1000, 1000, "/home/some"), allow_new_privileges=True)
    assert "no_new_privs" not in allowed


def test_what_a_command_leaves_is_kept_where_nothing_ends_it():
    body = b'{"Commands": [{"CommandLine": "true", "Background": "keep"}, {"CommandLine": "a"}]}'
    spec = validate_job(decode_object(body), SETTINGS)
    starts = [start_message(SETTINGS, "some-id", spec, number) for number in range(2)]
    assert [start.get("keep") for start in starts] == [True, None]
    # A job that was pending when the settings changed.
    for changes in ({"sandbox": "bwrap"}, {"pid_namespace": "on"}, {"background": "end"}):
        changed = replace(SETTINGS, **changes)
        assert "can't be kept" in start_message(changed, "some-id", spec, 0)["refusal"]
        with pytest.raises(InvalidJob, match="can't be kept"):
            validate_job(decode_object(body), changed)


def test_a_sandbox_is_made_without_the_variables_that_it_hands_on():
    start = message(0, sandbox="bwrap")
    assert not [name for name in start["env"] if name.startswith(("LD_", "DOCKER_"))]
    assert start["argv"][1:4] == ("--args", "-1", "--")
    assert start["argv"][start["fd_options_index"]] == "-1"
    at = start["fd_options"].index("LD_PRELOAD")
    assert start["fd_options"][at - 1 : at + 2] == ("--setenv", "LD_PRELOAD", "/evil")
    assert start["fd_options"][0] == "--clearenv"


@pytest.mark.parametrize("field", Plan.__struct_fields__)
def test_each_part_of_a_plan_reaches_the_message(field):
    others = {
        "environment": {"A": "b"},
        "as_service_user": True,
        "input": "x",
        "fd_options_index": 1,
        "sets_no_new_privs": True,
        "probe_if": ((1, 2),),
        "programs_of": DockerSettings,
    }
    base = {
        "argv": ("a", "b"),
        "fd_options": ("c",),
        "status_probe": ("d",),
        "cleanup": ("e",),
        "force_cleanup": ("f",),
    }
    changed = {**base, field: others.get(field, ("other",))}
    settings = replace(SETTINGS, run_as=RunAs("some", 1000, 1000, "/home/some"))
    context = Context(
        job_id="j",
        number=0,
        settings=settings,
        files=JobFiles("/j", "/l"),
        root="/",
        environment={},
        terminal=Terminal(),
    )
    assert Plan(**changed).start_keys(context) != Plan(**base).start_keys(context)

"""Commands on a cluster as they are asked for: what is taken, and what is told with its place."""

import pytest

from service.engine.start_message import start_message
from service.errors import InvalidJob
from service.kinds.settings import read_settings
from service.kinds.stored import decode_spec, encode_spec
from service.kinds.validation import validate_job

SETTINGS = read_settings(
    {
        "JOBRUNNER_STATE_DIR": "/state",
        "JOBRUNNER_SLURM_OPTIONS": "exclusive gres out",
        "JOBRUNNER_SLURM_PARTITION": "batch",
        "JOBRUNNER_SLURM_ACCOUNT": "lab",
        "SLURM_CONF": "/etc/own.conf",
        "SLURM_JOB_ID": "12",
        "SLURM_NTASKS": "3",
        "DOCKER_HOST": "unix:///d",
    }
)


def parse(line="true", *, command=(), **keys):
    raw = {"Kind": "slurm", "CommandLine": line, "Slurm": keys, **dict(command)}
    return validate_job({"Commands": [raw]}, SETTINGS)


def options(start):
    return [word for word in start["argv"][: start["argv"].index("--")] if word.startswith("--")]


def test_what_is_asked_becomes_options_and_is_stored_as_it_was():
    asked = {
        "Partition": "gpu,big",
        "Account": "lab@x",
        "QOS": "high",
        "Time": 61,
        "CPUs": 3,
        "Memory": 5 << 30,
        "GPUs": "a100:2",
        "Nodes": 2,
        "Tasks": 4,
        "Constraint": "[rack1|rack2]&ssd*2",
        "Options": ["--exclusive", "--gres=disk:2"],
    }
    job = parse(**asked)
    assert decode_spec(encode_spec(job)).commands == job.commands
    found = options(start_message(SETTINGS, "some-id", job, 0))
    for option in (
        "--exclusive",
        "--gres=disk:2",
        "--partition=gpu,big",
        "--account=lab@x",
        "--qos=high",
        "--time=2",
        "--cpus-per-task=3",
        "--mem=5242880K",
        "--gpus=a100:2",
        "--nodes=2",
        "--ntasks=4",
        "--constraint=[rack1|rack2]&ssd*2",
        "--job-name=jr-some-id-0",
    ):
        assert option in found


def test_what_is_not_asked_is_the_operators_or_slurms():
    found = options(start_message(SETTINGS, "some-id", parse(), 0))
    assert {"--partition=batch", "--account=lab"} <= set(found)
    assert not [each for each in found if each.startswith(("--time", "--mem", "--nodes"))]


def test_the_limits_and_the_timeout_of_the_job_are_slurms_and_bind_no_client():
    command = {"Kind": "slurm", "CommandLine": "true", "Slurm": {"Memory": 5 << 30, "Time": 9000}}
    limits = {"Memory": 1 << 30, "CPUs": 2.5, "OpenFiles": 64}
    body = {"Commands": [command, {"CommandLine": "true"}], "Limits": limits, "Timeout": 600}
    job = validate_job(body, SETTINGS)
    start = start_message(SETTINGS, "some-id", job, 0)
    assert start["limits"] == {}
    assert {"--mem=1048576K", "--cpus-per-task=2", "--time=10"} <= set(options(start))
    # The job's other commands are bound.
    assert start_message(SETTINGS, "some-id", job, 1)["limits"]["memory"] == 1 << 30


def test_only_slurms_programs_get_the_services_variables_of_slurm():
    start = start_message(SETTINGS, "some-id", parse(), 0)
    for environment in (start["env"], start["hook_env"]):
        assert environment["SLURM_CONF"] == "/etc/own.conf"
        # Of a job that the service itself runs in: srun would make a step of that.
        assert not environment.keys() & {"SLURM_JOB_ID", "SLURM_NTASKS", "DOCKER_HOST"}
    others = [{"CommandLine": "true"}, {"Kind": "docker", "Image": "a"}]
    job = validate_job({"Commands": others}, SETTINGS)
    for number in range(2):
        start = start_message(SETTINGS, "some-id", job, number)
        assert "SLURM_CONF" not in {**start["env"], **start.get("hook_env", {})}


def test_no_variable_of_a_job_reaches_srun_under_its_own_name():
    environment = {"SLURM_CONF": "/evil", "LD_PRELOAD": "/evil", "PATH": "/evil", "A B": "odd"}
    job = parse(command={"Environment": environment})
    start = start_message(SETTINGS, "some-id", job, 0)
    assert start["env"]["SLURM_CONF"] == "/etc/own.conf"
    assert not start["env"].keys() & {"LD_PRELOAD", "A B"}
    assert start["env"]["PATH"] != "/evil"
    assert list(start["env"].values()).count("/evil") == 3
    assert not [word for word in start["argv"] if "evil" in word or "odd" in word]


@pytest.mark.parametrize(
    ("keys", "pointer"),
    [
        ({"Partition": ""}, "/Partition"),
        ({"Partition": "a b"}, "/Partition"),
        ({"Partition": "-p"}, "/Partition"),
        ({"Partition": "a\n"}, "/Partition"),
        ({"Account": "a;b"}, "/Account"),
        ({"QOS": "x" * 257}, "/QOS"),
        ({"Constraint": "a b"}, "/Constraint"),
        ({"Constraint": "--x"}, "/Constraint"),
        ({"GPUs": "0"}, "/GPUs"),
        ({"GPUs": "a:b:2"}, "/GPUs"),
        ({"GPUs": 2}, "/GPUs"),
        ({"Time": 0}, "/Time"),
        ({"Time": 10**10}, "/Time"),
        ({"Memory": 1}, "/Memory"),
        ({"Memory": "1G"}, "/Memory"),
        ({"CPUs": 0}, "/CPUs"),
        ({"Nodes": 65_536}, "/Nodes"),
        ({"Tasks": -1}, "/Tasks"),
        ({"Color": "red"}, "/Color"),
        ({"Options": ["exclusive"]}, "/Options/0"),
        ({"Options": ["--"]}, "/Options/0"),
        ({"Options": ["--exclusive", "-n2"]}, "/Options/1"),
        ({"Options": ["--exclusive --uid=0"]}, "/Options/0"),
        ({"Options": ["--gres=a\nb"]}, "/Options/0"),
        ({"Options": ["--mail-type=END"]}, "/Options/0"),
        ({"Options": ["--uid=0"]}, "/Options/0"),
        # An abbreviation of `--output`, though the operator allows it.
        ({"Options": ["--out=/etc/passwd"]}, "/Options/0"),
        ({"Options": ["--exclusive"] * 101}, "/Options"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(keys, pointer):
    with pytest.raises(InvalidJob) as refused:
        parse(**keys)
    assert [error.pointer for error in refused.value.errors] == [f"/Commands/0/Slurm{pointer}"]


@pytest.mark.parametrize(
    ("keys", "pointer"),
    [
        ({"TTY": {}}, "/TTY"),
        ({"Limits": {"PIDs": 5}}, "/Limits/PIDs"),
        ({"Limits": {"CPUs": 0.5}}, "/Limits/CPUs"),
    ],
)
def test_what_no_cluster_keeps_is_refused(keys, pointer):
    body = {"Commands": [{"Kind": "slurm", "CommandLine": "true"}], **keys}
    with pytest.raises(InvalidJob) as refused:
        validate_job(body, SETTINGS)
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_a_blank_line_is_refused():
    with pytest.raises(InvalidJob, match="command line"):
        parse(" \n")


def test_an_option_that_is_not_allowed_any_more_is_an_outcome():
    job = parse(Options=["--exclusive"])
    stricter = read_settings({"JOBRUNNER_STATE_DIR": "/state"})
    assert "JOBRUNNER_SLURM_OPTIONS" in start_message(stricter, "some-id", job, 0)["refusal"]

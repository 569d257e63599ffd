"""Which shell a command may have, and how long its command line may be."""

import json

import pytest

from service.errors import InvalidJob
from service.jobs.decoding import decode_object
from service.kinds.settings import read_settings
from service.kinds.shells import MAX_ARGUMENT, is_too_long
from service.kinds.validation import validate_job

VARIABLES = {"JOBRUNNER_STATE_DIR": "/state", "PATH": "/usr/bin:/bin"}
SETTINGS = read_settings({**VARIABLES, "JOBRUNNER_SHELLS": "bash sh python3"})
LONG = "#" * (MAX_ARGUMENT + 1)


def checked(settings=SETTINGS, **command):
    body = {"Commands": [{"CommandLine": "true", **command}]}
    return validate_job(decode_object(json.dumps(body).encode()), settings).commands[0]


def errors_in(settings=SETTINGS, **command):
    with pytest.raises(InvalidJob) as refused:
        checked(settings, **command)
    return {error.pointer: error.detail for error in refused.value.errors}


@pytest.mark.parametrize(
    "shell",
    [
        ["bash", "-c"],
        ["bash", "-eo", "pipefail", "-l", "-c"],
        ["bash", "-euxc"],
        ["sh", "-c", "-x"],
        ["python3", "-I", "-c"],
    ],
)
def test_an_allowed_shell_has_any_options(shell):
    assert checked(Shell=shell).shell == shell


@pytest.mark.parametrize(
    ("shell", "pointer", "words"),
    [
        (["zsh", "-c"], "/Commands/0/Shell/0", "(bash, sh, python3; JOBRUNNER_SHELLS), got 'zsh'"),
        (["/bin/bash", "-c"], "/Commands/0/Shell/0", "got '/bin/bash'"),
        (["../bash", "-c"], "/Commands/0/Shell/0", "got '../bash'"),
        (["bash"], "/Commands/0/Shell", "expected an option -c"),
        (["bash", "--rcfile", "x"], "/Commands/0/Shell", "expected an option -c"),
        (["bash", "-c", "a\0b"], "/Commands/0/Shell/2", "without NUL"),
        (["bash", "-c", LONG], "/Commands/0/Shell/2", f"at most {MAX_ARGUMENT} bytes"),
        ([], "/Commands/0/Shell", "length >= 1"),
        (["bash", *(["-c"] * 40)], "/Commands/0/Shell", "length <= 32"),
        ("bash -c", "/Commands/0/Shell", "expected array"),
    ],
)
def test_what_is_no_shell_of_this_service_is_refused(shell, pointer, words):
    assert words in errors_in(Shell=shell)[pointer]


def test_without_a_list_there_is_bash_and_no_other_shell():
    settings = read_settings({**VARIABLES, "JOBRUNNER_SHELLS": " "})
    assert checked(settings).shell is None
    assert "(none;" in errors_in(settings, Shell=["bash", "-c"])["/Commands/0/Shell/0"]


def test_a_long_command_line_is_for_a_shell_that_can_read_it_from_a_file():
    assert checked(CommandLine=LONG, Shell=["sh", "-c"]).command_line == LONG
    refused = errors_in(CommandLine=LONG, Shell=["python3", "-c"])
    assert f"at most {MAX_ARGUMENT} bytes" in refused["/Commands/0/CommandLine"]


def test_a_container_gets_no_argument_that_the_kernel_does_not_take():
    container = {"Kind": "docker", "Image": "busybox:1"}
    refused = errors_in(**container, CommandLine=LONG, Shell=True)
    assert list(refused) == ["/Commands/0/CommandLine"]
    del container["Image"]
    container |= {"Repository": "busybox", "CommandLine": None}
    assert list(errors_in(**container, Arguments=["a", LONG])) == ["/Commands/0/Arguments/1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * MAX_ARGUMENT, False),
        ("a" * (MAX_ARGUMENT + 1), True),
        ("ä" * (MAX_ARGUMENT // 2), False),
        ("ä" * (MAX_ARGUMENT // 2 + 1), True),
        ("\U0001f600" * (MAX_ARGUMENT // 4), False),
    ],
)
def test_bytes_count(text, expected):
    assert is_too_long(text) is expected

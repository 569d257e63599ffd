"""A job leads back to the submission that it came from."""

from __future__ import annotations

import pytest

from service.errors import InvalidJob
from service.jobs.spec import JobBody, JobPatch, JobSpec
from service.kinds.settings import read_settings
from service.kinds.stored import decode_spec, encode_spec
from service.kinds.submission import changed, submission_of
from service.kinds.validation import validate_job

pytestmark = pytest.mark.once

REST = {
    "Environment": {"SECRET": "x"},
    "WorkingDir": "work",
    "Name": "nightly",
    "Labels": {"team": "db"},
    "Timeout": 60.5,
    "IdleTimeout": 5.0,
    "QueueTimeout": 7.0,
    "Priority": 3,
    "Grace": 2.0,
    "OutputLimit": 1 << 20,
    "Hold": True,
    "Stdin": True,
    "Files": {"in/a.txt": {"Text": "a", "Mode": "0600"}, "b": {"Base64": "AA=="}},
    "Limits": {"Memory": 1 << 30, "CPUs": 1.5, "PIDs": 9, "OpenFiles": 99, "FileSize": 1 << 20},
    "TTY": {"Rows": 50, "Term": "vt100"},
}
WHOLE = {
    "Commands": [
        {"Kind": "bash", "CommandLine": "make", "Environment": {"A": "1"}, "Stderr": "stdout"},
        {"Kind": "docker", "Image": "busybox:1", "CommandLine": "ls -l", "ContinueOnFailure": True},
        {"Kind": "bash", "CommandLine": "true", "WorkingDir": "src"},
    ],
    **REST,
}


SETTINGS = read_settings({"HOME": "/none"})


def stored(body) -> JobSpec:
    return decode_spec(encode_spec(validate_job(body, SETTINGS)))


@pytest.mark.parametrize(
    "body",
    [
        WHOLE,
        {"CommandLine": "true"},
        {"CommandLine": "true", "Grace": 0.0, "Timeout": 1.0},
        {"Commands": [{"Kind": "bash", "CommandLine": "true", "WorkingDir": "a"}]},
    ],
)
def test_what_was_submitted_leads_to_the_same_job_again(body):
    spec = stored(body)
    assert stored(submission_of(spec)) == spec
    assert submission_of(spec) == body


def test_all_keys_of_a_submission_are_tried_and_can_be_patched():
    assert {*WHOLE, "CommandLine"} == set(JobBody.__struct_encode_fields__)
    assert JobPatch.__struct_encode_fields__ == JobBody.__struct_encode_fields__


@pytest.mark.parametrize(
    ("body", "patch", "expected"),
    [
        ({"CommandLine": "a"}, {"CommandLine": "b"}, {"CommandLine": "b"}),
        ({"Commands": [{"CommandLine": "a"}]}, {"CommandLine": "b"}, {"CommandLine": "b"}),
        (
            {"CommandLine": "a"},
            {"Commands": [{"CommandLine": "b"}], "CommandLine": None},
            {"Commands": [{"CommandLine": "b"}]},
        ),
        (WHOLE, {"CommandLine": "b"}, {"CommandLine": "b", **REST}),
        (
            {"CommandLine": "a", "Environment": {"A": "1", "B": "2"}, "Timeout": 5.0},
            {"Environment": {"A": None, "C": "3"}, "Timeout": None},
            {"CommandLine": "a", "Environment": {"B": "2", "C": "3"}},
        ),
    ],
)
def test_a_patch_changes_what_it_names(body, patch, expected):
    assert changed(stored(body), patch) == expected


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"Timeout": "long"}, "/Timeout"),
        ({"CommandLin": "x"}, "/CommandLin"),
        ({"Commands": None}, ""),
        ({"CommandLine": "x", "Commands": []}, ""),
        ({"Environment": {"A=B": "c"}}, "/Environment/A=B"),
    ],
)
def test_what_a_patch_makes_is_checked_as_a_submission(patch, pointer):
    with pytest.raises(InvalidJob) as raised:
        validate_job(changed(stored(WHOLE), patch), SETTINGS)
    assert raised.value.errors[0].pointer == pointer

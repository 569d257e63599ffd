"""What idempotency keys compare: the job that was asked for, whatever defaults a release knows."""

import json

import pytest

from service.jobs.decoding import decode_object
from service.kinds.canonical import hash_of, is_stored_as
from service.kinds.settings import read_settings
from service.kinds.stored import encode_spec
from service.kinds.validation import validate_job

SETTINGS = read_settings({"HOME": "/none"})
RUNS = {"CommandLine": "true"}
# Nothing of it is a default.
FULL = {
    "Commands": [
        {**RUNS, "Stderr": "stdout", "Shell": ["bash", "-ec"], "Environment": {"A": "1"}},
        {"Kind": "docker", "Image": "busybox", "Arguments": ["a"], "CPUs": 0.5},
    ],
    "Environment": {"B": "2"},
    "Labels": {"a": "b"},
    "Limits": {"Memory": 64 << 20},
    "Priority": 5,
}


def spec(body):
    return validate_job(decode_object(json.dumps(body).encode()), SETTINGS)


@pytest.mark.parametrize("body", [RUNS, FULL, {**RUNS, "Limits": {}}, {**RUNS, "Grace": 0}])
def test_a_stored_job_has_the_hash_that_it_was_submitted_with(body):
    assert is_stored_as(encode_spec(spec(body)), hash_of(spec(body)))


def test_a_job_that_an_older_release_stored_without_a_key_has_the_hash_of_today():
    stored = json.loads(encode_spec(spec({**RUNS, "Priority": 5})))
    for key in ("Stderr", "Shell", "Network"):
        stored["Commands"][0].pop(key)
    for key in ("Limits", "OutputLimit", "QueueTimeoutS"):
        stored.pop(key)
    assert is_stored_as(json.dumps(stored).encode(), hash_of(spec({**RUNS, "Priority": 5})))
    assert not is_stored_as(json.dumps(stored).encode(), hash_of(spec(RUNS)))


@pytest.mark.parametrize(
    "change",
    [
        {"Priority": 4},
        {"Labels": {}},
        {"Limits": {"Memory": 65 << 20}},
        {"Commands": FULL["Commands"][:1]},
        {"Commands": [{**FULL["Commands"][0], "Stderr": "stderr"}, FULL["Commands"][1]]},
        {"Commands": [FULL["Commands"][0], {**FULL["Commands"][1], "PIDs": 5}]},
        {"Commands": [FULL["Commands"][0], RUNS]},
    ],
)
def test_another_body_has_another_hash(change):
    assert hash_of(spec({**FULL, **change})) != hash_of(spec(FULL))


def test_what_is_said_and_what_is_a_default_have_one_hash():
    said = {"Commands": [{**RUNS, "Kind": "bash", "Stderr": "stderr"}], "Grace": 10, "Limits": {}}
    assert hash_of(spec(said)) == hash_of(spec(RUNS))


@pytest.mark.parametrize("stored", [b"", b"{}", b"\xff", b'{"Commands":[{"Kind":"fish"}]}'])
def test_a_spec_that_cannot_be_read_is_no_ones(stored):
    assert not is_stored_as(stored, hash_of(spec(RUNS)))

"""From bytes to an object: what is no JSON, no object or too large is refused with its place."""

import json

import pytest

from service.errors import InvalidJob, MalformedBody
from service.jobs import decoding
from service.jobs.decoding import MAX_DEPTH, MAX_NESTING, MAX_TEXT, MAX_VALUES, decode_object


def refusal(value):
    """The field errors of an object that is refused, as (pointer, detail)."""
    with pytest.raises(InvalidJob) as refused:
        decode_object(json.dumps(value).encode())
    return [(error.pointer, error.detail) for error in refused.value.errors]


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "raw",
    [{}, {"any": "key"}, {"Name": nested(MAX_NESTING - 1)}, {"Name": "x" * (1 << 20)}],
)
def test_an_object_within_the_bounds_is_decoded(raw):
    assert decode_object(json.dumps(raw).encode()) == raw


@pytest.mark.parametrize("depth", [MAX_NESTING, MAX_DEPTH - 1])
def test_what_is_nested_too_deeply_is_told_with_its_place_and_not_looked_into(depth):
    pointer = "/A~1b" + "/0" * (MAX_NESTING - 1)
    detail = f"expected a nesting of at most {MAX_NESTING}"
    assert refusal({"A/b": nested(depth)}) == [(pointer, detail)]


def test_what_is_nested_beyond_all_measure_is_malformed():
    with pytest.raises(MalformedBody, match=f"more than {MAX_DEPTH} levels"):
        decode_object(json.dumps(nested(MAX_DEPTH + 1)).encode())


def test_every_text_that_is_too_long_is_told(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_TEXT", 3)
    raw = {"A/b": ["xyz", "wxyz"], "Environment": {"long": ""}, "Name": "long"}
    detail = "expected at most 3 characters, got"
    assert refusal(raw) == [
        ("", f"{detail} 11"),
        ("", f"{detail} 4"),
        ("/A~1b/1", f"{detail} 4"),
        ("/Environment", f"{detail} 4"),
        ("/Name", f"{detail} 4"),
    ]


def test_a_body_just_longer_than_a_text_may_be_is_looked_at():
    assert refusal({"A": "x" * (MAX_TEXT + 1)}) == [
        ("/A", f"expected at most {MAX_TEXT} characters, got {MAX_TEXT + 1}")
    ]


def test_more_values_than_a_body_may_have_are_refused_without_decoding():
    ((pointer, detail),) = refusal({"A": [1] * (MAX_VALUES + 1)})
    assert (pointer, detail[:22]) == ("", "expected at most 10000")

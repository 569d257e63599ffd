"""A submission that is too large in any direction is refused at each place where it is."""

import pytest

from service.jobs.bounds import (
    MAX_NESTING,
    Bounds,
    places_out_of_bounds,
    places_too_deep_or_long,
)
from service.jobs.spec import MAX_COMMANDS, MAX_LABELS


def places(raw, **bounds):
    bounds = Bounds(**bounds)
    both = (*places_out_of_bounds(raw, bounds), *places_too_deep_or_long(raw, bounds))
    return [(p.pointer, p.detail) for p in both]


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "raw",
    [
        {"Commands": [{}] * MAX_COMMANDS},
        {"Labels": {str(n): "" for n in range(MAX_LABELS)}},
        {"Commands": 5, "Labels": None},
        {"Name": nested(MAX_NESTING - 1)},
        {"Name": "x" * (1 << 20)},
    ],
)
def test_what_is_within_has_no_wrong_place(raw):
    assert places(raw) == []


@pytest.mark.parametrize(
    ("raw", "bounds", "wrong"),
    [
        ({"Commands": [{}] * 3}, {"commands": 2}, ("/Commands", "at most 2 commands, got 3")),
        ({"Labels": {"a": "", "b": ""}}, {"labels": 1}, ("/Labels", "at most 1 labels, got 2")),
        ({"Labels": {"a": ""}}, {"labels": 0}, ("/Labels", "at most 0 labels, got 1")),
        ({"A": [[[]]]}, {"nesting": 3}, ("/A/0/0", "a nesting of at most 3")),
        ({"A/b": ["xyz", "wxyz"]}, {"text": 3}, ("/A~1b/1", "at most 3 characters, got 4")),
        ({"E": {"abc": ""}}, {"text": 2}, ("/E", "at most 2 characters, got 3")),
    ],
)
def test_what_is_beyond_is_told_with_its_place(raw, bounds, wrong):
    pointer, detail = wrong
    assert places(raw, **bounds) == [(pointer, f"expected {detail}")]


def test_what_is_nested_too_deeply_is_not_looked_into():
    assert places(nested(900), nesting=5) == [("/0/0/0/0/0", "expected a nesting of at most 5")]


def test_every_place_is_told():
    raw = {"Commands": [{}] * 3, "Labels": {"long": "longer"}, "Name": "long"}
    assert {pointer for pointer, _ in places(raw, commands=1, labels=0, text=3)} == {
        "/Commands",
        "/Labels",
        "/Labels/long",
        "/Name",
        "",
    }

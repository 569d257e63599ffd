"""Conditional requests for a file. Source: RFC 9110, section 13."""

from __future__ import annotations

import pytest

from service.api.preconditions import Preconditions, Validators, Verdict
from service.errors import PreconditionFailed

pytestmark = pytest.mark.once

FILE = Validators('"a"', 1_000_000)
BEFORE, AT, AFTER = (Validators("", 1_000_000 + seconds).last_modified for seconds in (-1, 0, 1))


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, Verdict.GO_ON),
        ({"if_none_match": '"a"'}, Verdict.NOT_MODIFIED),
        ({"if_none_match": 'W/"a", "b"'}, Verdict.NOT_MODIFIED),
        ({"if_none_match": "*"}, Verdict.NOT_MODIFIED),
        ({"if_none_match": '"b"'}, Verdict.GO_ON),
        ({"if_modified_since": BEFORE}, Verdict.GO_ON),
        ({"if_modified_since": AT}, Verdict.NOT_MODIFIED),
        ({"if_modified_since": "no date"}, Verdict.GO_ON),
        ({"if_none_match": '"b"', "if_modified_since": AT}, Verdict.GO_ON),
        ({"if_match": '"b", "a"'}, Verdict.GO_ON),
        ({"if_unmodified_since": AT}, Verdict.GO_ON),
        ({"if_match": '"a"', "if_unmodified_since": BEFORE}, Verdict.GO_ON),
    ],
)
def test_a_read_is_answered_or_not_modified(given, verdict):
    assert Preconditions(**given).judge(FILE) is verdict


@pytest.mark.parametrize(
    ("given", "present"),
    [
        ({"if_match": '"b"'}, FILE),
        ({"if_match": 'W/"a"'}, FILE),  # the strong comparison
        ({"if_match": "*"}, None),
        ({"if_unmodified_since": BEFORE}, FILE),
        ({"if_unmodified_since": AT}, None),
        ({"if_none_match": "*"}, FILE),
        ({"if_none_match": '"a"'}, FILE),
    ],
)
def test_a_change_is_refused(given, present):
    with pytest.raises(PreconditionFailed):
        Preconditions(**given).check_change(present)


@pytest.mark.parametrize(
    ("given", "present"),
    [
        ({}, None),
        ({"if_match": "*"}, FILE),
        ({"if_none_match": "*"}, None),
        ({"if_none_match": '"b"'}, FILE),
        ({"if_unmodified_since": AFTER}, FILE),
    ],
)
def test_a_change_is_allowed(given, present):
    Preconditions(**given).check_change(present)

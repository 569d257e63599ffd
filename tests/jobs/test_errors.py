"""The error tree: one stable code and one status per leaf."""

import re

import pytest

from service.jobs import errors

LEAVES = sorted(errors.JobrunnerError.__subclasses__(), key=lambda leaf: leaf.__name__)


def test_codes_are_unique_and_lower_snake():
    codes = [leaf.code for leaf in LEAVES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_each_leaf_has_a_title_and_a_status_of_an_error(leaf):
    assert leaf.title
    assert 400 <= leaf.status < 600


def test_what_may_be_retried_says_when():
    assert errors.Unavailable("now").retry_after_s == 1


def test_an_invalid_job_names_its_places():
    places = [errors.Place(f"/{n}", "wrong") for n in range(5)]
    error = errors.InvalidJob([errors.Place("", "all of it"), *places])
    assert error.detail.startswith("/: all of it; /0: wrong")
    assert len(error.places) == 6


def test_an_unknown_job_is_named_and_cut_short():
    assert len(errors.UnknownJob("x" * 10_000).detail) < 200

"""The error tree: one code and status per leaf, and the way to a problem document and back."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import errors
from service.errors import LEAVES, FieldError, JobrunnerError, UnknownProblem

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NUMBER = st.integers(min_value=0, max_value=2**63)
DETAIL = (TEXT,)
FIELD_ERROR = st.builds(FieldError, TEXT, TEXT)
# What each constructor takes.
ARGUMENTS = {
    "files_left": (TEXT, TEXT, TEXT),
    "input_offset": (TEXT, NUMBER),
    "input_closed": (TEXT, NUMBER),
    "internal_error": (TEXT,),
    "job_not_pending": (TEXT, TEXT),
    "job_not_held": (TEXT, TEXT),
    "signal_not_passed_on": (TEXT, TEXT),
    "invalid_job": (st.lists(FIELD_ERROR, min_size=1, max_size=25),),
    "not_ready": (st.dictionaries(TEXT, st.none() | TEXT, max_size=5),),
    "offset_beyond_end": (NUMBER, NUMBER),
    "offset_in_gap": (NUMBER, st.tuples(NUMBER, NUMBER), NUMBER),
    "output_dropped": (NUMBER, NUMBER),
}
LEAF = pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES)


def made(leaf, data):
    if leaf is errors.IllegalTransition:
        return leaf(trigger=data.draw(TEXT), state=data.draw(TEXT))
    error = leaf(*(data.draw(values) for values in ARGUMENTS.get(leaf.code, DETAIL)))
    if leaf is errors.TooManyRequests:
        error.retry_after_s = data.draw(NUMBER)
    return error


def test_codes_are_lower_snake():
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in LEAVES)


@LEAF
def test_each_leaf_has_a_title_and_a_status_of_an_error(leaf):
    assert leaf.title
    assert 400 <= leaf.status < 600


@LEAF
@settings(max_examples=20)
@given(data=st.data())
def test_a_problem_document_gives_back_the_same_error(leaf, data):
    error = made(leaf, data)
    document = json.loads(json.dumps(error.to_problem()))
    rebuilt = JobrunnerError.from_problem(document, retry_after_s=error.retry_after_s)
    assert type(rebuilt) is leaf
    assert rebuilt.to_problem() == error.to_problem()
    for name, value in vars(error).items():
        if name != "is_wrong":  # of the challenge, which is a header
            assert getattr(rebuilt, name) == value
    assert str(rebuilt) == str(error)


@LEAF
def test_a_document_without_a_member_of_its_code_is_no_leaf(leaf):
    document = {"type": f"urn:jobrunner:problem:{leaf.code}", "title": "T", "status": leaf.status}
    rebuilt = JobrunnerError.from_problem({**document, "detail": "D"})
    assert type(rebuilt) is (UnknownProblem if leaf.members else leaf)
    assert (rebuilt.code, rebuilt.status, rebuilt.detail) == (leaf.code, leaf.status, "D")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
MEMBERS = sorted({name for leaf in LEAVES.values() for name, _ in leaf.members})


@given(
    document=st.dictionaries(
        st.sampled_from(["type", "title", "status", "detail", *MEMBERS]), JSON
    ),
    code=st.sampled_from([*LEAVES, "of_another_release"]),
)
def test_any_document_gives_an_error(document, code):
    document = {"type": f"urn:jobrunner:problem:{code}", **document}
    error = JobrunnerError.from_problem(document)
    assert isinstance(error, JobrunnerError)
    assert isinstance(error.status, int)


def test_a_problem_of_another_release_keeps_what_it_says():
    document = {"type": "urn:jobrunner:problem:new_one", "title": "New", "status": 418}
    error = JobrunnerError.from_problem({**document, "detail": "Why."}, retry_after_s=3)
    assert error.to_problem() == {**document, "detail": "Why."}
    assert error.retry_after_s == 3


def test_what_may_be_retried_says_when():
    assert errors.Unavailable("now").retry_after_s == 1


def test_an_invalid_job_lists_its_field_errors():
    wrong = [FieldError(f"/{n}", "wrong") for n in range(5)]
    error = errors.InvalidJob([FieldError("", "all of it"), *wrong])
    assert error.detail.startswith("/: all of it; /0: wrong")
    assert len(error.errors) == 6


def test_an_unknown_job_is_named_and_cut_short():
    assert len(errors.UnknownJob("x" * 10_000).detail) < 200

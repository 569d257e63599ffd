"""Cursors: each that the service makes is read again, and fits its description."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.cursor import SCHEMA, Cursor, parse_cursor
from service.api.forms import Unfit
from service.store import Order, Position

NUMBERS = st.integers(0, 10**18 - 1)


def fits(text):
    return re.search(SCHEMA["pattern"], text) is not None and len(text) <= SCHEMA["maxLength"]


@given(st.sampled_from(Order), NUMBERS, NUMBERS, st.none() | NUMBERS)
def test_each_cursor_is_read_again_and_fits(order, value, seq, at):
    cursor = Cursor(order, Position(value if order.is_by_use else 0, seq), at)
    assert parse_cursor(str(cursor)) == cursor
    assert fits(str(cursor))


@given(st.from_regex(r"(cz|bj|Yz|bT|bz)[A-Za-z0-9_-]{1,30}", fullmatch=True))
def test_what_is_taken_fits(text):
    try:
        parse_cursor(text)
    except Unfit:
        return
    assert fits(text)


@pytest.mark.parametrize("text", ["", "a", "czB", "czAw", "cw", "s1", "cz A", "czA=", "!!"])
def test_no_other_spelling_is_a_cursor(text):
    with pytest.raises(Unfit):
        parse_cursor(text)

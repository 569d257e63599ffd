"""Words are split as the standard library's shell splitter does it."""

import shlex

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.kinds.docker import words

TEXTS = st.lists(
    st.sampled_from(["'", '"', "\\", " ", "\t", "\r", "\n", "#", "a", "b c", "ä", "\u00a0", "''"]),
    max_size=12,
).map("".join)


@settings(max_examples=1000)
@pytest.mark.slow
@given(TEXTS | st.text())
@example("")
@example("a '' \"\" b''c \\\n d")
@example("\\")
@example("'")
@example('"\\')
def test_each_line_is_split_alike(line):
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(ValueError, match=r"^No (closing quotation|escaped character)$"):
            words.split(line)
    else:
        assert words.split(line) == expected

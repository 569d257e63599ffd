"""Text from outside that is written stays on its line, shows what it is, and can be encoded."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.host.escaping import escaped, escaped_lines

EVERYTHING = st.text(
    st.characters(codec=None, categories=None) | st.sampled_from("\x9b\u202e\ud800\n\x1b")
)


@given(EVERYTHING)
def test_nothing_unsafe_is_left(text):
    out = escaped(text)
    out.encode()
    assert len(out.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in out} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in out} & {
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN",
    }  # fmt: skip


@given(EVERYTHING)
def test_a_line_of_json_means_the_same_afterwards(text):
    line = json.dumps({"k": text}, ensure_ascii=False)
    assert json.loads(escaped(line)) == {"k": text}


@pytest.mark.parametrize("text", ["", "plain", "größer", "日本語", "a\\u001b", "🎉", "עברית"])
def test_what_is_safe_stays_as_it_is(text):
    assert escaped(text) == text
    assert escaped_lines(text) == text


def test_lines_stay_lines_where_they_are_meant():
    assert escaped_lines("a\n\tb\r\x1b[2J\u2028") == "a\n\tb\\u000d\\u001b[2J\\u2028"
    assert escaped("a\nb") == "a\\u000ab"
    assert escaped("\U000e0041") == "\\udb40\\udc41"

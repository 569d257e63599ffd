"""Files of variables, as systemd reads them, and what is wrong with one, by its line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings.environment_file import MAX_BYTES, WrongFile, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# A=1\n; B=2\n\n   # C=3\n", {}),
        ("A=1\nB=\n_c9 = x y \t\n", {"A": "1", "B": "", "_c9": "x y"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=a=b#c", {"A": "a=b#c"}),
        ("A=$HOME `x`", {"A": "$HOME `x`"}),
        ("A='a b  ' \n", {"A": "a b  "}),
        ("A='a\\n$b\"'\n", {"A": 'a\\n$b"'}),
        ('A="a\\"b\\\\c\\$d\\`e\\n"', {"A": 'a"b\\c$d`e\\n'}),
        ("A='1\n2'\nB=3", {"A": "1\n2", "B": "3"}),
        ('A="1\\\n2\n3"', {"A": "12\n3"}),
        ("A=1\\\n  2 \\\nB=3", {"A": "1  2 B=3"}),
        ("A=a\\ \\ \nB=\\'x", {"A": "a  ", "B": "'x"}),
        ("A='a' \"b\" c d", {"A": "abc d"}),
        ("A=a'b'", {"A": "a'b'"}),
        ("A=x\r\nB=y\r\n", {"A": "x", "B": "y"}),
        ("B=käse", {"B": "käse"}),
        ("A=\\", {"A": ""}),
    ],
)
def test_values_are_read_as_systemd_reads_them(text, expected):
    assert parse(text.encode()) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"A=1\nB\nC=3", "line 2: expected NAME=value"),
        (b"A=1\n\nexport B=2", "line 3: expected a variable's name before the '=', got 'export B'"),
        (b"1A=1", "line 1: expected a variable's name before the '=', got '1A'"),
        (b"=1", "line 1: expected a variable's name"),
        (b"A=1\nB='x\ny\n", "line 2: the quote ' isn't closed"),
        (b'A="x\n\n', "line 1: the quote \" isn't closed"),
        (b"A=1\nB=\xff", "line 2 isn't UTF-8"),
        (b"A=1\nB=a\0b", "line 2 has the control character '\\x00'"),
        (b"A=1\nID=2", "line 2: ID is set by the service"),
        (b"A=" + b"x" * MAX_BYTES, f"expected at most {MAX_BYTES}"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(data, words):
    with pytest.raises(WrongFile, match=re.escape(words)):
        parse(data, {"ID"})


@given(st.text(alphabet="AB=#;'\"\\ \n\tä$", max_size=40))
def test_any_file_is_read_or_refused(text):
    try:
        variables = parse(text.encode())
    except WrongFile:
        return
    assert all(name.isidentifier() and name.isascii() for name in variables)


@given(st.dictionaries(st.sampled_from("ABC"), st.text(alphabet="a'\"\\ \n$;#=", max_size=20)))
def test_what_is_quoted_comes_back(variables):
    escaped = {
        name: "".join(f"\\{c}" if c in '"\\$`' else c for c in value)
        for name, value in variables.items()
    }
    text = "".join(f'{name}="{value}"\n' for name, value in escaped.items())
    assert parse(text.encode()) == variables

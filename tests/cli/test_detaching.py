"""The keys that leave a job, among any others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.detaching import DEFAULT, DetachKeys, parsed

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (DEFAULT, b"\x10\x11"),
        ("ctrl-a", b"\x01"),
        ("CTRL-[,Q", b"\x1bQ"),
        ("ctrl-\\,ctrl-],ctrl-^,ctrl-_,ctrl-@", b"\x1c\x1d\x1e\x1f\x00"),
        ("", b""),
    ],
)
def test_keys_are_written_as_docker_has_them(text: str, keys: bytes) -> None:
    assert parsed(text) == keys


@pytest.mark.parametrize(
    "text", ["ctrl-", "ctrl-1", "ctrl-pq", "ab", "ü", "a,", ",", "alt-x", "\n"]
)
def test_what_is_no_key_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="expected keys such as 'ctrl-p,ctrl-q'"):
        parsed(text)
    with pytest.raises(ValueError, match="8 keys at most"):
        parsed(",".join("a" * 9))


@pytest.mark.parametrize(
    ("keys", "pieces", "passed", "leaves"),
    [
        (b"\x10\x11", [b"a", b"\x10", b"\x11", b"z"], b"a", True),
        (b"\x10\x11", [b"\x10x"], b"\x10x", False),
        (b"\x10\x11", [b"\x10\x10\x11"], b"\x10", True),
        (b"\x10\x11", [b"\x11\x10"], b"\x11", False),  # the second is held back
        (b"aab", [b"aaab"], b"a", True),
        (b"abab!", [b"ababab!"], b"ab", True),
        (b"", [b"\x10\x11"], b"\x10\x11", False),
    ],
)
def test_they_leave_and_others_are_passed_on(
    keys: bytes, pieces: list[bytes], passed: bytes, *, leaves: bool
) -> None:
    typist, got = DetachKeys(keys), b""
    for piece in pieces:
        more, left = typist.typed(piece)
        got += more
        if left:
            break
    assert (got, left) == (passed, leaves)


@given(st.binary(min_size=1, max_size=4), st.lists(st.binary(max_size=6), max_size=8))
def test_nothing_typed_is_lost_or_changed(keys: bytes, pieces: list[bytes]) -> None:
    """Against a search in all that was typed."""
    typist, got, typed = DetachKeys(keys), b"", b""
    for piece in pieces:
        typed += piece
        more, left = typist.typed(piece)
        got += more
        if left:
            assert got == typed[: typed.index(keys)]
            return
    assert keys not in typed
    assert typed.startswith(got)
    assert len(typed) - len(got) < len(keys)

"""Which headers of a caller are the token."""

from __future__ import annotations

import pytest

from service.mcp.bearer import is_right

pytestmark = pytest.mark.once


@pytest.mark.parametrize("given", [b"Bearer t-1", b"bearer t-1", b"BEARER  t-1 "])
def test_the_token_is_right(given):
    assert is_right([given], "t-1")


@pytest.mark.parametrize(
    "given",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"t-1"],
        [b"Basic t-1"],
        [b"Bearer t-2"],
        [b"Bearer t-11"],
        [b"Bearer \xff"],
        [b"Bearer t-1", b"Bearer t-1"],
        [b"Bearer t-1, Bearer t-2"],
    ],
)
def test_anything_else_is_wrong(given):
    assert not is_right(given, "t-1")

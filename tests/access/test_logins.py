"""Logins in the time that a test gives them: bound to their token, bounded in number, over at their end."""

from __future__ import annotations

import pytest

from service.access import logins, tokens
from service.access.logins import Logins
from service.access.scopes import Scope
from service.access.tokens import Tokens

HOUR_S = 3600


class Clock:
    """Counts the nanoseconds of `time.time_ns`."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * 10**9

    def time_ns(self) -> int:
        return self.now

    def pass_s(self, seconds: int) -> None:
        self.now += seconds * 10**9


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(logins, "time", clock)
    return clock


@pytest.fixture
def known(tmp_path):
    return Tokens(tmp_path)


@pytest.fixture
def made(tmp_path, known, clock):
    return Logins(tmp_path, known, HOUR_S)


@pytest.fixture
def ann(tmp_path, known):
    _, text = tokens.create(tmp_path, "ann", [Scope.READ])
    return known.principal_of(text)


async def test_a_login_is_over_at_its_end(made, clock, ann):
    principal, text = await made.create(ann)
    assert made.principal_of(text) == principal == ann
    assert principal.expires_at == clock.now + HOUR_S * 10**9
    clock.pass_s(HOUR_S - 1)
    assert made.is_still_valid(principal)
    clock.pass_s(1)
    assert not made.is_still_valid(principal)
    assert made.principal_of(text) is None
    assert made.is_still_valid(ann)  # by a token, not by a login


async def test_a_login_is_that_of_one_token_not_of_a_name(tmp_path, made, ann):
    _, text = await made.create(ann)
    tokens.revoke(tmp_path, "ann")
    tokens.create(tmp_path, "ann", [Scope.READ])
    assert made.principal_of(text) is None


async def test_one_more_login_than_may_be_ends_the_oldest(made, ann, monkeypatch):
    monkeypatch.setattr(logins, "_MAX_OF_TOKEN", 2)
    texts = [(await made.create(ann))[1] for _ in range(3)]
    assert [made.principal_of(text) is not None for text in texts] == [False, True, True]


async def test_another_worker_sees_it_at_once(tmp_path, made, ann):
    other = Logins(tmp_path, Tokens(tmp_path), HOUR_S)
    principal, text = await made.create(ann)
    assert other.principal_of(text) == ann
    assert await other.end(text) == ann
    assert not made.is_still_valid(principal)
    assert await made.end(text) is None


async def test_what_is_over_is_forgotten_with_the_next_change(tmp_path, made, clock, ann):
    await made.create(ann)
    clock.pass_s(HOUR_S)
    await made.create(ann)
    assert (tmp_path / "sessions.json").read_text().count("token_hash") == 1


async def test_no_cookie_is_none(made, ann):
    await made.create(ann)
    for text in ("", "x", "A" * 43, "é" * 43):
        assert made.principal_of(text) is None

"""Tokens: made once, kept as hashes, in force from the next look on."""

import json
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access import tokens
from service.access.scopes import LOCAL_ADMIN, UNAUTHENTICATED, Principal, Scope
from service.access.tokens import TokenError, Tokens
from service.jobs.ceilings import Ceilings
from service.jobs.visibility import ALL, NOTHING, Only
from service.paths import StateDir


def make(state_dir, name="bob", *scopes, **options):
    return tokens.create(state_dir, name, scopes or [Scope.RUN], **options)[1]


def test_without_a_file_nobody_is_asked(tmp_path):
    assert not Tokens(tmp_path).required
    assert not tokens.enabled(tmp_path)
    assert tokens.list_tokens(tmp_path) == []


def test_what_is_made_and_revoked_holds_for_who_looked_before(tmp_path):
    seen = Tokens(tmp_path)
    assert not seen.required
    text = make(tmp_path)
    assert seen.required
    assert seen.principal_of(text) == Principal("bob", frozenset({Scope.RUN}), "bob")
    other = make(tmp_path, "eve")
    assert seen.principal_of(other).name == "eve"
    tokens.revoke(tmp_path, "bob")
    assert seen.principal_of(text) is None
    assert seen.principal_of(other).name == "eve"


def test_the_last_revoked_token_leaves_it_closed(tmp_path):
    make(tmp_path)
    tokens.revoke(tmp_path, "bob")
    assert Tokens(tmp_path).required


def test_no_file_holds_a_token_and_none_is_for_others(tmp_path):
    text = make(tmp_path)
    _, _, secret = text.split("_", 2)  # which may contain a `_` itself
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert text.encode() not in path.read_bytes()
        assert secret.encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_that_has_expired_is_none(tmp_path):
    text = make(tmp_path, lifetime_s=3600)
    seen = Tokens(tmp_path)
    assert seen.principal_of(text) is not None
    path = StateDir(tmp_path).tokens
    file = json.loads(path.read_text())
    file["tokens"][0]["expires_at"] = 1
    path.write_text(json.dumps(file))
    assert seen.principal_of(text) is None
    assert seen.principal_named("bob") is None


@given(st.text(max_size=80))
def test_no_other_text_is_a_token(tmp_path_factory, text):
    directory = tmp_path_factory.mktemp("tokens")
    good = make(directory)
    seen = Tokens(directory)
    assert seen.principal_of(text) is None
    assert seen.principal_of(good + text) is None or not text
    assert seen.principal_of(good[:-1]) is None


def test_two_tokens_of_one_principal_see_the_same(tmp_path):
    first = make(tmp_path, "ci-run", principal="ci")
    second = make(tmp_path, "ci-read", Scope.READ, principal="ci")
    seen = Tokens(tmp_path)
    for text in (first, second):
        assert seen.principal_of(text).visibility == Only("ci")


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "a/b", "a\n", "x" * 65, "ä"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(tmp_path, name):
    with pytest.raises(TokenError, match="can't be used"):
        make(tmp_path, name)
    assert not tokens.enabled(tmp_path)


def test_a_name_is_given_once(tmp_path):
    make(tmp_path)
    with pytest.raises(TokenError, match="revoke it first"):
        make(tmp_path)
    with pytest.raises(TokenError, match="no token 'eve'"):
        tokens.revoke(tmp_path, "eve")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2, "tokens": []}', b"\xff"])
def test_a_file_that_cannot_be_read_lets_nobody_in(tmp_path, content):
    StateDir(tmp_path).tokens.write_bytes(content)
    seen = Tokens(tmp_path)
    for _ in range(2):
        with pytest.raises(TokenError, match=r"tokens\.json"):
            _ = seen.required


def test_none_is_lost_when_many_are_made_at_once(tmp_path):
    makers = [threading.Thread(target=make, args=(tmp_path, f"t{n}")) for n in range(16)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert {token.name for token in tokens.list_tokens(tmp_path)} == {f"t{n}" for n in range(16)}


def test_each_scope_includes_those_before_it():
    may = {
        scope: [other for other in Scope if Principal("a", frozenset({scope})).may(other)]
        for scope in Scope
    }
    assert may == {
        Scope.READ: [Scope.READ],
        Scope.RUN: [Scope.READ, Scope.RUN],
        Scope.ADMIN: [Scope.READ, Scope.RUN, Scope.ADMIN],
    }
    assert LOCAL_ADMIN.visibility == ALL
    assert Principal("a", frozenset({Scope.RUN})).visibility == Only("a")
    assert Principal("a", frozenset({Scope.ADMIN})).visibility == ALL


@pytest.mark.parametrize(
    "principal",
    [
        UNAUTHENTICATED,
        Principal(None, frozenset()),
        Principal(None, frozenset({Scope.RUN})),
        Principal("a", frozenset()),
    ],
)
def test_who_has_no_name_or_no_scope_sees_nothing(principal):
    assert principal.visibility == NOTHING


def test_a_ceiling_of_the_priority_is_that_of_the_scope_unless_it_is_given(tmp_path):
    seen = Tokens(tmp_path)
    for name, scope, options, priority in [
        ("run", Scope.RUN, {}, 0),
        ("admin", Scope.ADMIN, {}, 100),
        ("some", Scope.RUN, {"max_priority": 7}, 7),
        ("none", Scope.ADMIN, {"max_priority": 0}, 0),
    ]:
        text = make(tmp_path, name, scope, **options)
        assert seen.principal_of(text).ceilings == Ceilings(priority)


def test_what_let_a_caller_in_proves_it_until_it_is_gone(tmp_path):
    seen = Tokens(tmp_path)
    assert seen.is_still_valid(LOCAL_ADMIN)
    bob = seen.principal_of(make(tmp_path))
    assert seen.is_still_valid(bob)
    assert seen.is_still_valid(UNAUTHENTICATED)
    assert not seen.is_still_valid(LOCAL_ADMIN)  # the first token closes the service
    tokens.revoke(tmp_path, "bob")
    assert not seen.is_still_valid(bob)
    make(tmp_path)  # another of the same name
    assert not seen.is_still_valid(bob)

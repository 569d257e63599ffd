"""Selectors: what they select, what contradicts what, and that nothing means everything by accident."""

import pytest

from service.api.listing import List
from service.api.parameters import Parser
from service.errors import BadQuery
from service.jobs.states import FINISHED, JOB_STATES, LIVE, Reason, State
from service.store import Order

S = 10**9
NOW = 1_800_000_000 * S


def given(query_string):
    return Parser(List).parse({}, query_string, {})


def selected(query_string, **options):
    return given(query_string).selection(NOW, **options)


def refusal(query_string, **options):
    with pytest.raises(BadQuery) as refused:
        selected(query_string, **options)
    return refused.value.detail


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("1769860800", 1769860800 * S),
        ("1769860800.5", 1769860800 * S + S // 2),
        ("0.000000001", 1),
        ("9999999999", 2**63 - 1),
        ("2026-01-31T12:00:00Z", 1769860800 * S),
        ("2026-01-31t12:00:00z", 1769860800 * S),
        ("2026-01-31 12:00:00Z", 1769860800 * S),
        ("2026-01-31T12:00:00.123456789Z", 1769860800 * S + 123456789),
        ("2026-01-31T13:30:00%2B01:30", 1769860800 * S),
        ("2026-01-31T13:30:00+01:30", 1769860800 * S),
        ("2026-01-31T10:30:00-01:30", 1769860800 * S),
        ("1901-01-01T00:00:00Z", 0),
        ("90s", NOW - 90 * S),
        ("10m", NOW - 600 * S),
        ("2h", NOW - 7200 * S),
        ("7d", NOW - 7 * 86400 * S),
        ("0s", NOW),
        ("999999999d", 0),
    ],
)
def test_times_are_rfc_3339_seconds_since_1970_or_a_duration_back(text, ns):
    assert selected(f"since={text}").since == ns
    assert selected(f"until={text}").until == ns


@pytest.mark.parametrize(
    ("text", "name", "prefix"),
    [
        ("nightly", "nightly", None),
        ("nightly*", None, "nightly"),
        ("*", None, ""),
        ("a*b", "a*b", None),
        ("a**", None, "a*"),
        ("a%5C*", "a*", None),
        ("a%5C", "a%5C".replace("%5C", chr(92)), None),
    ],
)
def test_a_name_is_a_prefix_when_it_ends_in_a_star(text, name, prefix):
    selection = selected(f"name={text}")
    assert (selection.name, selection.name_prefix) == (name, prefix)


def test_an_id_is_given_whole_or_by_its_beginning():
    assert selected("id=0A1b-").id_prefix == "0a1b-"
    assert selected("state=all").id_prefix is None


def test_an_exit_code_is_a_number_or_any_but_zero():
    assert (selected("exit=0").exit_code, selected("exit=0").has_failed) == (0, False)
    assert (selected("exit=137").exit_code, selected("exit=137").has_failed) == (137, False)
    assert (selected("exit=nonzero").exit_code, selected("exit=nonzero").has_failed) == (None, True)


@pytest.mark.parametrize(
    ("query_string", "states"),
    [
        ("", LIVE),
        ("name=a", LIVE),
        ("exit=0", FINISHED),
        ("reason=timeout", FINISHED),
        ("state=all", frozenset(JOB_STATES)),
        ("state=all&exit=0", frozenset(JOB_STATES)),
        ("state=killed&reason=timeout,lost", frozenset({State.KILLED})),
    ],
)
def test_states_are_the_live_ones_unless_something_else_is_asked_for(query_string, states):
    assert selected(query_string).states == states


def test_reasons_are_any_of_those_named():
    assert selected("reason=timeout,lost").reasons == {Reason.TIMEOUT, Reason.LOST}


@pytest.mark.parametrize(
    ("query_string", "names"),
    [
        ("since=1h&until=2h", ("since", "until")),
        ("since=2000000000&until=1h", ("since", "until")),
        ("state=running&exit=0", ("state", "exit")),
        ("state=pending,running&exit=nonzero", ("state", "exit")),
        ("state=exited&reason=timeout", ("state", "reason")),
    ],
)
def test_a_contradiction_names_both_parameters(query_string, names):
    detail = refusal(query_string)
    assert all(repr(name) in detail for name in names)


def test_a_cursor_of_another_order_contradicts():
    after = "bjE"  # n1
    assert given(f"after={after}&order=newest").query(NOW).order is Order.NEWEST
    with pytest.raises(BadQuery) as refused:
        given(f"after={after}").query(NOW)
    assert "'after' and 'order'" in refused.value.detail
    assert "order=newest" in refused.value.detail


def test_a_window_may_be_empty():
    assert selected("since=1h&until=1h").since == NOW - 3600 * S


# --------------------------------------------------------- of routes that do something to the jobs


@pytest.mark.parametrize("only", [LIVE, FINISHED])
def test_by_default_a_route_takes_the_jobs_that_it_is_for(only):
    assert selected("name=a", only=only).states == only
    assert selected("state=all", only=only).states == only
    for state in only:
        assert selected(f"state={state.value}", only=only).states == {state}
    for state in set(JOB_STATES) - only:
        assert repr(state.value) in refusal(f"state={state.value}", only=only)


@pytest.mark.parametrize("name", ["exit=0", "reason=timeout"])
def test_what_only_finished_jobs_have_selects_no_live_ones(name):
    assert repr(name.partition("=")[0]) in refusal(name, only=LIVE)
    assert selected(name, only=FINISHED).states == FINISHED


@pytest.mark.parametrize(
    "query_string",
    ["state=all", "name=a", "name=a*", "id=1", "label=a=b", "since=1h", "until=1h", "exit=0"]
    + ["reason=timeout", "name=*&label=a=b"],
)
def test_one_selector_is_enough(query_string):
    given(query_string).check_some_given()


@pytest.mark.parametrize("query_string", ["", "limit=5", "name=*", "name=*&limit=1"])
def test_without_a_selector_nothing_is_selected(query_string):
    with pytest.raises(BadQuery, match="at least one of the query parameters state, name"):
        given(query_string).check_some_given()

"""Query parameters: what doesn't fit is refused by name, never taken for something else."""

import signal
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.queries import (
    MAX_LIMIT,
    Parameters,
    attach_query,
    cursor,
    kill_query,
    list_query,
)
from service.errors import BadQuery
from service.jobs.fields import MAX_SECONDS
from service.jobs.lifecycle import JOB_STATES, LIVE, State
from service.output.index import STDERR, STDOUT

READERS = (list_query, attach_query, kill_query)


def listed(query_string):
    return list_query(query_string)[0]


def refusal(reader, query_string):
    with pytest.raises(BadQuery) as refused:
        reader(query_string)
    return refused.value.detail


# ------------------------------------------------------------------------------------- defaults


def test_nothing_asked_for_means_the_live_jobs():
    query, full = list_query("")
    assert (query.states, query.limit, query.after, full) == (LIVE, MAX_LIMIT, 0, False)


def test_nothing_asked_for_means_all_output_followed():
    assert attach_query("") == (0, None, True, False)


def test_nothing_asked_for_means_term_and_the_grace_of_the_job():
    assert kill_query("") == (signal.SIGTERM, None, False)


# ----------------------------------------------------------------------------- what can be asked


@pytest.mark.parametrize(
    ("text", "states"),
    [("all", set(JOB_STATES)), ("exited", {State.EXITED})]
    + [("pending,killed", {State.PENDING, State.KILLED}), ("exited,exited", {State.EXITED})],
)
def test_states_are_all_or_any_of_the_four(text, states):
    assert listed(f"state={text}").states == states


def test_labels_add_up_and_may_hold_an_equals_sign():
    query = listed("label=a=1&label=b=x=y&label=c=")
    assert query.labels == (("a", "1"), ("b", "x=y"), ("c", ""))


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("offset=7", (7, None, True, False)),
        ("offset=-7", (-7, None, True, False)),
        ("stream=stdout", (0, STDOUT, True, False)),
        ("stream=stderr&follow=false", (0, STDERR, False, False)),
        ("follow=1", (0, None, True, False)),
        ("gaps=mark", (0, None, True, True)),
        ("gaps=cut", (0, None, True, False)),
        (f"offset={2**63 - 1}", (2**63 - 1, None, True, False)),
    ],
)
def test_attach_takes_an_offset_a_stream_whether_to_follow_and_to_mark_gaps(query_string, expected):
    assert attach_query(query_string) == expected


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "INT", "SIGKILL", "USR1", "SIGRTMIN"])
def test_a_signal_is_named_with_or_without_sig(name):
    number, _, _ = kill_query(f"signal={name}")
    assert number == signal.Signals[f"SIG{name.removeprefix('SIG')}"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("2.5", 2.5), (".5", 0.5), ("10", 10), ("1e-05", 0.00001), ("2.5E1", 25)],
)
def test_a_grace_is_in_seconds(text, seconds):
    assert kill_query(f"grace={text}&wait=true") == (signal.SIGTERM, seconds, True)


@given(st.integers(min_value=1, max_value=10**17))
def test_a_cursor_comes_back_as_what_it_was_made_of(seq):
    text = cursor(seq)
    assert listed(urlencode({"after": text})).after == seq
    assert text.isascii()
    assert quote(text) == text


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("reader", "query_string", "name"),
    [
        (list_query, "state=", "state"),
        (list_query, "state=running,", "state"),
        (list_query, "state=Running", "state"),
        (list_query, "state=skipped", "state"),
        (list_query, "state=all,exited", "state"),
        (list_query, "limit=0", "limit"),
        (list_query, "limit=1001", "limit"),
        (list_query, "limit=-1", "limit"),
        (list_query, "limit=1.0", "limit"),
        (list_query, "limit=", "limit"),
        (list_query, "limit=%D9%A3", "limit"),
        (list_query, "limit=5&limit=6", "limit"),
        (list_query, "label=a", "label"),
        (list_query, "label==a", "label"),
        (list_query, "after=", "after"),
        (list_query, "after=xyz", "after"),
        (list_query, "after=%00", "after"),
        (list_query, "after=cy0x", "after"),  # s-1
        (list_query, "view=half", "view"),
        (list_query, "offset=1", "offset"),
        (attach_query, "offset=", "offset"),
        (attach_query, "offset=x", "offset"),
        (attach_query, "offset=--1", "offset"),
        (attach_query, "offset=1e3", "offset"),
        (attach_query, f"offset={2**63}", "offset"),
        (attach_query, "stream=both", "stream"),
        (attach_query, "stream=", "stream"),
        (attach_query, "follow=maybe", "follow"),
        (attach_query, "gaps=hide", "gaps"),
        (attach_query, "gaps=", "gaps"),
        (attach_query, "folow=false", "folow"),
        (kill_query, "signal=", "signal"),
        (kill_query, "signal=15", "signal"),
        (kill_query, "signal=NOPE", "signal"),
        (kill_query, "signal=SIG", "signal"),
        (kill_query, "signal=term", "signal"),
        (kill_query, "grace=-1", "grace"),
        (kill_query, "grace=nan", "grace"),
        (kill_query, "grace=inf", "grace"),
        (kill_query, "grace=1e400", "grace"),
        (kill_query, "grace=%D9%A3", "grace"),
        (kill_query, "grace=1_0", "grace"),
        (kill_query, "grace=%205", "grace"),
        (kill_query, f"grace={MAX_SECONDS + 1}", "grace"),
        (kill_query, "wait=yes", "wait"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(reader, query_string, name):
    assert repr(name) in refusal(reader, query_string)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("query_string", ["a=%FF", "&".join(["a"] * 101)])
def test_what_cannot_be_read_is_refused(reader, query_string):
    assert "The query string can't be read" in refusal(reader, query_string)


def test_a_long_value_is_cut_short():
    assert len(refusal(attach_query, "stream=" + "x" * 10_000)) < 300
    assert len(refusal(attach_query, "x" * 10_000 + "=1")) < 300


def test_a_route_without_parameters_takes_none():
    with pytest.raises(BadQuery, match="expected: none"):
        Parameters("verbose=1", known=())


names = st.sampled_from(
    ["state", "name", "label", "limit", "after", "view", "offset", "stream", "follow", "signal"]
    + ["grace", "wait", "other"]
)
values = st.text(max_size=8) | st.sampled_from(["all", "1", "-1", "stdout", "a=b", "TERM", "true"])


@given(st.lists(st.tuples(names, values), max_size=4), st.sampled_from(READERS))
def test_any_parameters_are_read_or_refused(pairs, reader):
    try:
        reader(urlencode(pairs))
    except BadQuery as exc:
        assert exc.status == 400


@given(st.text(max_size=30), st.sampled_from(READERS))
def test_any_query_string_is_read_or_refused(query_string, reader):
    try:
        reader(query_string)
    except BadQuery as exc:
        assert exc.status == 400


@given(st.floats() | st.text(max_size=8))
def test_seconds_are_never_outside_their_bounds(value):
    try:
        grace_s = kill_query(urlencode({"grace": value}))[1]
    except BadQuery:
        return
    assert grace_s is not None
    assert 0 <= grace_s <= MAX_SECONDS

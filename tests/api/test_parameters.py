"""Parameters: a value that doesn't fit is refused by name, never taken for another one."""

import signal
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.attach import Attach
from service.api.cursor import Cursor
from service.api.jobs import Kill
from service.api.listing import MAX_LIMIT, List
from service.api.parameters import NoParameters, Parser
from service.api.submit import Submit
from service.api.terminal import Resize
from service.errors import BadHeader, BadQuery
from service.jobs.fields import MAX_SECONDS
from service.jobs.states import JOB_STATES, State
from service.output.index import STDERR, STDOUT
from service.store import Order, Position

TAKEN = (List, Attach, Kill)


class Headers(dict):
    """As Sanic's: each name with all its values."""

    def getall(self, name, default):
        return self.get(name.lower(), default)


def parsed(of, query_string, headers=()):
    in_path = {} if of in (List, NoParameters, Submit) else {"ID": "x"}
    return Parser(of).parse(in_path, query_string, Headers(headers))


def attached(query_string):
    given = parsed(Attach, query_string)
    return given.offset, given.stream, given.follow, given.marks_gaps


def killed(query_string):
    given = parsed(Kill, query_string)
    return given.signal, given.grace_s, given.wait


def refusal(of, query_string):
    with pytest.raises(BadQuery) as refused:
        parsed(of, query_string)
    return refused.value.detail


# ------------------------------------------------------------------------------------- defaults


def test_nothing_asked_for_means_the_first_page():
    given = parsed(List, "")
    assert (given.state, given.limit, given.after, given.full) == (None, MAX_LIMIT, None, False)


def test_nothing_asked_for_means_all_output_followed():
    assert attached("") == (0, None, True, None)


def test_nothing_asked_for_means_term_and_the_grace_of_the_job():
    assert killed("") == (signal.SIGTERM, None, False)


# ----------------------------------------------------------------------------- what can be asked


@pytest.mark.parametrize(
    ("text", "states"),
    [("all", set(JOB_STATES)), ("exited", {State.EXITED})]
    + [("pending,killed", {State.PENDING, State.KILLED}), ("exited,exited", {State.EXITED})],
)
def test_states_are_all_or_any_of_the_four(text, states):
    assert parsed(List, f"state={text}").state == states


def test_labels_add_up_and_may_hold_an_equals_sign():
    query = parsed(List, "label=a=1&label=b=x=y&label=c=")
    assert query.label == (("a", "1"), ("b", "x=y"), ("c", ""))


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("offset=7", (7, None, True, None)),
        ("offset=-7", (-7, None, True, None)),
        ("stream=stdout", (0, STDOUT, True, None)),
        ("stream=stderr&follow=false", (0, STDERR, False, None)),
        ("follow=1", (0, None, True, None)),
        ("gaps=mark", (0, None, True, True)),
        ("gaps=cut", (0, None, True, False)),
        (f"offset={2**63 - 1}", (2**63 - 1, None, True, None)),
    ],
)
def test_attach_takes_an_offset_a_stream_whether_to_follow_and_to_mark_gaps(query_string, expected):
    assert attached(query_string) == expected


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "INT", "SIGKILL", "USR1", "SIGRTMIN"])
def test_a_signal_is_named_with_or_without_sig(name):
    number, _, _ = killed(f"signal={name}")
    assert number == signal.Signals[f"SIG{name.removeprefix('SIG')}"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("2.5", 2.5), (".5", 0.5), ("10", 10), ("1e-05", 0.00001), ("2.5E1", 25)],
)
def test_a_grace_is_in_seconds(text, seconds):
    assert killed(f"grace={text}&wait=true") == (signal.SIGTERM, seconds, True)


@given(
    st.sampled_from(Order),
    st.integers(1, 10**17),
    st.integers(0, 10**17),
    st.none() | st.integers(0, 10**18),
)
def test_a_cursor_comes_back_as_what_it_was_made_of(order, seq, value, at):
    made = Cursor(order, Position(value if order.is_by_use else 0, seq), at)
    text = str(made)
    given = parsed(List, urlencode({"after": text, "order": order}))
    assert given.after == made
    assert given.query(5).after == made.position
    assert given.at(5) == (5 if at is None else at)
    assert text.isascii()
    assert quote(text) == text


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("of", "query_string", "name"),
    [
        (List, "state=", "state"),
        (List, "state=running,", "state"),
        (List, "state=Running", "state"),
        (List, "state=skipped", "state"),
        (List, "state=all,exited", "state"),
        (List, "limit=0", "limit"),
        (List, "limit=1001", "limit"),
        (List, "limit=-1", "limit"),
        (List, "limit=1.0", "limit"),
        (List, "limit=", "limit"),
        (List, "limit=%D9%A3", "limit"),
        (List, "limit=5&limit=6", "limit"),
        (List, "label=a", "label"),
        (List, "label==a", "label"),
        (List, "after=", "after"),
        (List, "after=xyz", "after"),
        (List, "after=%00", "after"),
        (List, "after=cy0x", "after"),  # s-1
        (List, "after=YzE", "after"),  # c1: no value
        (List, "after=czE6Mg", "after"),  # s1:2: a value
        (List, "order=Newest", "order"),
        (List, "name=", "name"),
        (List, f"name={'n' * 258}", "name"),
        (List, "since=", "since"),
        (List, "since=10x", "since"),
        (List, "since=-10s", "since"),
        (List, "since=1.5h", "since"),
        (List, "until=yesterday", "until"),
        (List, "until=2026-02-30T00:00:00Z", "until"),
        (List, "until=2026-01-01T00:00:00", "until"),
        (List, "until=2026-01-01", "until"),
        (List, "exit=-1", "exit"),
        (List, "exit=zero", "exit"),
        (List, f"exit={2**31}", "exit"),
        (List, "reason=", "reason"),
        (List, "reason=requested,", "reason"),
        (List, "reason=all", "reason"),
        (List, "view=half", "view"),
        (List, "offset=1", "offset"),
        (Attach, "offset=", "offset"),
        (Attach, "offset=x", "offset"),
        (Attach, "offset=--1", "offset"),
        (Attach, "offset=1e3", "offset"),
        (Attach, f"offset={2**63}", "offset"),
        (Attach, "stream=both", "stream"),
        (Attach, "stream=", "stream"),
        (Attach, "follow=maybe", "follow"),
        (Attach, "gaps=hide", "gaps"),
        (Attach, "gaps=", "gaps"),
        (Attach, "folow=false", "folow"),
        (Kill, "signal=", "signal"),
        (Kill, "signal=15", "signal"),
        (Kill, "signal=NOPE", "signal"),
        (Kill, "signal=SIG", "signal"),
        (Kill, "signal=term", "signal"),
        (Kill, "grace=-1", "grace"),
        (Kill, "grace=nan", "grace"),
        (Kill, "grace=inf", "grace"),
        (Kill, "grace=1e400", "grace"),
        (Kill, "grace=%D9%A3", "grace"),
        (Kill, "grace=1_0", "grace"),
        (Kill, "grace=%205", "grace"),
        (Kill, f"grace={MAX_SECONDS + 1}", "grace"),
        (Kill, "wait=yes", "wait"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(of, query_string, name):
    assert repr(name) in refusal(of, query_string)


@pytest.mark.parametrize("of", TAKEN)
@pytest.mark.parametrize("query_string", ["a=%FF", "&".join(["a"] * 101)])
def test_what_cannot_be_read_is_refused(of, query_string):
    assert "The query string can't be read" in refusal(of, query_string)


def test_a_long_value_is_cut_short():
    assert len(refusal(Attach, "stream=" + "x" * 10_000)) < 300
    assert len(refusal(Attach, "x" * 10_000 + "=1")) < 300


def test_a_route_without_parameters_takes_none():
    with pytest.raises(BadQuery, match="expected: none"):
        parsed(NoParameters, "verbose=1")


def test_a_route_that_takes_any_query_ignores_what_it_does_not_know():
    assert Parser(NoParameters, any_query=True).parse({}, "a=%FF&verbose=1", Headers()) is not None
    with pytest.raises(BadQuery, match="'limit'"):
        Parser(List, any_query=True).parse({}, "verbose=1&limit=0", Headers())


def test_a_key_is_a_header_and_none_when_it_is_not_sent():
    assert parsed(Submit, "").key is None
    assert parsed(Submit, "", {"idempotency-key": ["a b"]}).key == "a b"


@pytest.mark.parametrize("keys", [[""], ["a", "a"], ["x" * 256], ["\u00e9"], ["a\tb"]])
def test_a_key_that_does_not_fit_is_refused_and_not_repeated(keys):
    with pytest.raises(BadHeader) as refused:
        parsed(Submit, "", {"idempotency-key": keys})
    length = len(keys[0])
    assert refused.value.detail == (
        "Idempotency-Key: expected one of 1 to 255 printable ASCII characters,"
        f" got {len(keys)} of {length} characters."
    )


names = st.sampled_from(
    ["state", "name", "label", "limit", "after", "view", "offset", "stream", "follow", "signal"]
    + ["grace", "wait", "order", "since", "until", "exit", "reason", "other"]
)
values = st.text(max_size=8) | st.sampled_from(["all", "1", "-1", "stdout", "a=b", "TERM", "true"])


@given(st.lists(st.tuples(names, values), max_size=4), st.sampled_from(TAKEN))
def test_any_parameters_are_read_or_refused(pairs, of):
    try:
        parsed(of, urlencode(pairs))
    except BadQuery as exc:
        assert exc.status == 400


@given(st.text(max_size=30), st.sampled_from(TAKEN))
def test_any_query_string_is_read_or_refused(query_string, of):
    try:
        parsed(of, query_string)
    except BadQuery as exc:
        assert exc.status == 400


@given(st.floats() | st.text(max_size=8))
def test_seconds_are_never_outside_their_bounds(value):
    try:
        grace_s = killed(urlencode({"grace": value}))[1]
    except BadQuery:
        return
    assert grace_s is not None
    assert 0 <= grace_s <= MAX_SECONDS


@pytest.mark.parametrize(
    ("query_string", "missing"), [("", "rows"), ("cols=5", "rows"), ("rows=5", "cols")]
)
def test_a_required_parameter_that_is_missing_is_named(query_string, missing):
    with pytest.raises(BadQuery, match=f"'{missing}' is missing; expected a whole number"):
        parsed(Resize, query_string)
    assert parsed(Resize, "rows=2&cols=3").cols == 3

"""Which requests are sent again, when, and how long."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, get_args

import msgspec
import pytest
from scripted_service import Clock, drive, policy, problem

from service.client import flows, requests
from service.client.calls import call
from service.client.failures import ServiceUnreachable, UnexpectedAnswer
from service.client.requests import clean_request, kill_request, show_request, submit_request
from service.client.retrying import Policy, Retry
from service.client.steps import Failure, Request
from service.errors import (
    InternalError,
    InvalidJob,
    JobrunnerError,
    OutcomeUnknown,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnknownJob,
    UnknownProblem,
)
from service.jobs.views import JobView

pytestmark = pytest.mark.once

OK = (201, {}, [b'{"ID": ', b'"j"}'])
CUT = Failure("cut")
REFUSED = Failure("refused", was_sent=False)


class Replies:
    """One after the other; the last for ever."""

    def __init__(self, *replies):
        self.replies, self.requests = list(replies), []

    def __call__(self, request: Request):
        self.requests.append(request)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def submit(replies: Replies, clock: Clock | None = None):
    clock = clock or Clock()
    return drive(flows.submit(policy(clock), {"CommandLine": "true"}, None), replies, clock)


@pytest.mark.parametrize(
    "lost",
    [
        CUT,
        REFUSED,
        (200, {}, [b'{"ID"', CUT]),
        problem(503, "unavailable"),
        problem(429, "too_many_requests"),
        (502, {}, [b"<html>"]),
        (504, {}, []),
    ],
    ids=["cut", "refused", "cut body", "503", "429", "502", "504"],
)
def test_a_submission_is_repeated_with_the_same_key(lost):
    replies = Replies(lost, lost, OK)
    assert submit(replies) == ["j"]
    assert len({request.headers for request in replies.requests}) == 1
    assert dict(replies.requests[0].headers)["Idempotency-Key"]


def test_each_submission_has_a_key_of_its_own():
    first, second = (submit_request({}, None) for _ in range(2))
    assert first.headers != second.headers
    assert dict(submit_request({}, "mine").headers)["Idempotency-Key"] == "mine"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(422, "invalid_job", errors=[]), InvalidJob),
        (problem(404, "unknown_job"), UnknownJob),
        (problem(500, "internal_error", error_id="e"), InternalError),
        (problem(418, "teapot"), UnknownProblem),
        ((403, {}, [b"<html>"]), UnknownProblem),
        ((799, {}, []), UnknownProblem),
    ],
)
def test_any_other_problem_is_raised_at_once(reply, error):
    replies = Replies(reply, OK)
    with pytest.raises(error):
        submit(replies)
    assert len(replies.requests) == 1


def test_what_may_have_happened_is_not_repeated_unless_that_does_no_harm():
    clock = Clock()
    with pytest.raises(ServiceUnreachable) as raised:
        drive(call(policy(clock), clean_request("j")), Replies(CUT, OK), clock)
    assert raised.value.may_have_happened
    for lost in (REFUSED, problem(503, "unavailable")):
        assert drive(call(policy(clock), clean_request("j")), Replies(lost, OK), clock)
    for request in (show_request("j", processes=False), kill_request("j", None, None)):
        assert drive(call(policy(clock), request), Replies(CUT, OK), clock)


def test_a_signal_is_repeated_only_when_it_was_not_sent():
    clock = Clock()
    sent = (200, {}, [b'{"ID": "j", "Signal": "SIGHUP", "Processes": 2}'])
    for lost in (CUT, (200, {}, [b'{"ID"', CUT])):
        with pytest.raises(ServiceUnreachable) as raised:
            drive(
                flows.signal(policy(clock), "j", "HUP", foreground=False),
                Replies(lost, sent),
                clock,
            )
        assert raised.value.may_have_happened
    with pytest.raises(OutcomeUnknown):
        lost = problem(504, "outcome_unknown")
        drive(flows.signal(policy(clock), "j", "HUP", foreground=False), Replies(lost, sent), clock)
    for lost in (REFUSED, problem(503, "unavailable")):
        replies = Replies(lost, sent)
        assert drive(
            flows.signal(policy(clock), "j", "RTMIN+1", foreground=False), replies, clock
        ) == [2]
        assert {request.query for request in replies.requests} == {(("signal", "RTMIN+1"),)}


def test_retry_after_is_obeyed_and_pauses_double_without_it():
    clock = Clock()
    asked = problem(503, "unavailable", retry_after=3)
    submit(Replies(REFUSED, REFUSED, REFUSED, asked, OK), clock)
    assert clock.pauses == [0.05, 0.1, 0.2, 3.0]


def test_a_date_in_retry_after_is_a_time_of_day():
    clock = Clock()
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    submit(Replies(problem(503, "unavailable", retry_after=past), OK), clock)
    submit(Replies(problem(503, "unavailable", retry_after="soon"), OK), clock)
    assert clock.pauses == [0.0, 0.05]


@pytest.mark.parametrize(
    ("lost", "error"),
    [
        (REFUSED, ServiceUnreachable),
        (problem(503, "unavailable"), Unavailable),
        (problem(429, "too_many_requests", retry_after=60), TooManyRequests),
    ],
)
def test_a_request_is_given_up_in_time_with_what_was_lost(lost, error):
    clock = Clock()
    with pytest.raises(error):
        submit(Replies(lost), clock)
    assert sum(clock.pauses) <= 10


def test_the_error_says_what_to_do_in_one_line():
    with pytest.raises(ServiceUnreachable) as raised:
        submit(Replies(REFUSED))
    said = str(raised.value)
    assert "\n" not in said
    for word in ("http://service", "refused", "`jobrunner serve`", "JOBRUNNER_URL"):
        assert word in said


def least(wanted: Any) -> Any:
    """What there is least of to be a `wanted`."""
    if isinstance(wanted, msgspec.StructMeta):
        required = [field for field in msgspec.structs.fields(wanted) if field.required]
        return {field.encode_name: least(field.type) for field in required}
    for value in (None, "", 0, False, [], {}):
        with suppress(msgspec.ValidationError):
            msgspec.convert(value, wanted)
            return value
    return least(next(each for each in get_args(wanted) if isinstance(each, type)))


def view(state: str) -> bytes:
    return msgspec.json.encode({**least(JobView), "ID": "j", "State": state})


def test_a_wait_outlasts_any_outage_once_the_service_has_answered():
    clock = Clock()
    running, exited = ((200, {}, [view(state)]) for state in ("running", "exited"))
    replies = Replies(running, *[REFUSED] * 200, exited)
    (found,) = drive(flows.wait(policy(clock), "j", None), replies, clock)
    assert found.state == "exited"
    assert sum(clock.pauses) > 600
    assert max(clock.pauses) == 5.0


def test_a_wait_for_a_service_that_never_answered_is_given_up():
    clock = Clock()
    with pytest.raises(ServiceUnreachable):
        drive(flows.wait(policy(clock), "j", None), Replies(REFUSED), clock)


def test_a_wait_that_was_lost_at_its_end_is_repeated():
    clock = Clock()

    class Lost(Replies):
        def __call__(self, request):
            clock.now += 20
            return super().__call__(request)

    replies = Lost(CUT, (200, {}, [view("exited")]))
    assert drive(flows.wait(policy(clock), "j", None), replies, clock)


def test_a_wait_ends_in_time():
    clock = Clock()

    def respond(request: Request):
        clock.now += float(dict(request.query)["timeout"])
        return 200, {}, [view("running")]

    with pytest.raises(TimeoutError, match="ended after 50 s: it is running"):
        drive(flows.wait(policy(clock), "j", 50), respond, clock)
    assert clock.now == pytest.approx(1050)


def wait_of(job_id, clock, timeout_s):
    return flows.wait(policy(clock), job_id, timeout_s)


def kill_of(job_id, clock, timeout_s):
    return flows.kill(policy(clock), job_id, None, None, timeout_s)


@pytest.mark.parametrize("flow", [wait_of, kill_of])
@pytest.mark.parametrize(
    "lost",
    [REFUSED, CUT, problem(503, "unavailable", retry_after=60), (404, {}, [b"<html>"])],
    ids=["refused", "cut", "503", "portal"],
)
def test_a_time_counts_also_while_no_service_answers(flow, lost):
    clock = Clock()
    replies = Replies(
        (200, {}, [b'{"ID": "j", "State": "running"}' if flow is kill_of else view("running")]),
        *[(200, {}, [view("running")])] * 2,
        lost,
    )
    with pytest.raises(TimeoutError, match="j isn't known to have ended after 50 s: no service"):
        drive(flow("j", clock, 50), replies, clock)
    assert clock.now == pytest.approx(1050)


def test_a_time_counts_also_before_any_service_has_answered():
    clock = Clock()
    for flow in (wait_of, kill_of):
        before = clock.now
        with pytest.raises(TimeoutError, match=r"no service answers at http://service \(refused"):
            drive(flow("j", clock, 2), Replies(REFUSED), clock)
        assert clock.now == pytest.approx(before + 2)
        with pytest.raises(ServiceUnreachable):
            drive(flow("j", clock, 60), Replies(REFUSED), clock)


def test_a_service_that_is_silent_is_not_waited_for_longer_than_that():
    clock = Clock()
    silences = []

    def silent(request: Request):
        silences.append(request.silence_s)
        clock.now += request.silence_s
        return Failure("silent")

    for flow in (wait_of, kill_of):
        before = clock.now
        with pytest.raises(TimeoutError, match="silent"):
            drive(flow("j", clock, 5), silent, clock)
        assert clock.now - before <= 5 + 2
    assert max(silences) <= 7


def test_a_wait_that_is_repeated_asks_for_the_time_that_is_left():
    clock = Clock()
    asked = []

    def respond(request: Request):
        asked.append(float(dict(request.query)["timeout"]))
        clock.now += 9
        return CUT if len(asked) < 3 else (200, {}, [view("exited")])

    assert drive(wait_of("j", clock, 25), respond, clock)
    assert asked == pytest.approx([20, 15.95, 6.85])


PORTALS = {
    "200": (200, {"Content-Type": "text/html"}, [b"<html>Log in", b"!" * 999]),
    "200 of JSON": (200, {"Content-Type": "text/json"}, [b"{}"]),
    "302": (302, {"Location": "http://portal/"}, []),
    "403": (403, {}, [b"<html>"]),
    "404": (404, {"Content-Type": "application/problem+json"}, [b'{"type": "about:blank"}']),
    "511": (511, {}, [b"<html>"]),
}


@pytest.mark.parametrize("portal", PORTALS.values(), ids=PORTALS)
def test_an_answer_of_another_program_is_a_cut_for_what_follows_a_job(portal):
    clock = Clock()
    running, exited = ((200, {}, [view(state)]) for state in ("running", "exited"))
    replies = Replies(running, *[portal] * 50, exited)
    (found,) = drive(flows.wait(policy(clock), "j", None), replies, clock)
    assert found.state == "exited"
    assert sum(clock.pauses) > 100


@pytest.mark.parametrize("portal", PORTALS.values(), ids=PORTALS)
def test_an_answer_of_another_program_comes_from_where_no_service_is(portal):
    clock = Clock()
    with pytest.raises((UnexpectedAnswer, UnknownProblem)):
        drive(flows.wait(policy(clock), "j", None), Replies(portal), clock)
    assert clock.pauses == []


def test_a_problem_of_the_service_ends_what_follows_a_job():
    clock = Clock()
    for code, error in (
        ("unauthenticated", Unauthenticated),
        ("of_another_release", UnknownProblem),
    ):
        replies = Replies((200, {}, [view("running")]), problem(401, code))
        with pytest.raises(error):
            drive(flows.wait(policy(clock), "j", None), replies, clock)
    assert clock.pauses == []


def test_the_caller_is_told_before_each_repeat():
    clock, told = Clock(), list[Retry]()
    patient = Policy(url="u", timeout_s=9, on_retry=told.append, clock=clock, jitter=lambda: 1)
    drive(flows.submit(patient, {}, None), Replies(CUT, problem(503, "unavailable"), OK), clock)
    assert [(retry.why, retry.attempt) for retry in told] == [("cut", 1), ("told", 2)]


def test_an_answer_of_another_program_is_no_answer():
    with pytest.raises(UnexpectedAnswer, match="html"):
        submit(Replies((200, {}, [b"<html>"])))


def test_a_kill_of_an_unknown_job_is_an_error():
    clock = Clock()
    unknown = (200, {}, [b'{"ID": "j", "State": null}'])
    with pytest.raises(JobrunnerError):
        drive(flows.kill(policy(clock), "j", None, None, None), Replies(unknown), clock)


def test_pages_follow_each_other():
    clock = Clock()
    page = b'{"IDs":[],"Total":2,"Jobs":[%b]%b}'
    first = (200, {}, [page % (view("exited"), b',"Next":"c"')])
    second = (200, {}, [page % (view("killed"), b"")])
    replies = Replies(first, second)
    found = drive(flows.jobs(policy(clock), [("state", "all")], None), replies, clock)
    assert [view.state for view in found] == ["exited", "killed"]
    assert [dict(request.query).get("after") for request in replies.requests] == [None, "c"]


def test_no_more_jobs_are_asked_for_than_are_wanted(monkeypatch):
    monkeypatch.setattr(requests, "PAGE", 1)
    page = b'{"IDs":[],"Total":9,"Jobs":[%b],"Next":"c"}' % view("exited")
    replies = Replies((200, {}, [page]), (200, {}, [page]))
    found = drive(flows.jobs(policy(Clock()), [], 2), replies, Clock())
    assert len(found) == 2
    assert [dict(request.query)["limit"] for request in replies.requests] == ["1", "1"]


@pytest.mark.parametrize("cut", [[CUT], [b'{"Type":"cha'], []], ids=["cut", "cut record", "end"])
def test_changes_are_asked_for_again_behind_the_last_one(cut):
    clock = Clock()
    change = b'{"Type":"change","Seq":%d,"ID":"j","Cleaned":true}\n'
    replies = Replies(
        (200, {}, [change % 4, b'{"Type":"heartbeat","Seq":4}\n', *cut]),
        (200, {}, [change % 7]),
        (200, {}, []),
    )
    found = drive(flows.events(policy(clock), flows.Seen(2), follow=False), replies, clock)
    assert [(event.seq, event.job_id, event.view) for event in found] == [
        (4, "j", None),
        (7, "j", None),
    ]
    assert [dict(request.query)["after"] for request in replies.requests] == ["2", "4", "7"]

"""Which requests are sent again, when, and how long."""

from __future__ import annotations

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
    Unavailable,
    UnknownJob,
    UnknownProblem,
)

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
            drive(flows.signal(policy(clock), "j", "HUP"), Replies(lost, sent), clock)
        assert raised.value.may_have_happened
    with pytest.raises(OutcomeUnknown):
        lost = problem(504, "outcome_unknown")
        drive(flows.signal(policy(clock), "j", "HUP"), Replies(lost, sent), clock)
    for lost in (REFUSED, problem(503, "unavailable")):
        replies = Replies(lost, sent)
        assert drive(flows.signal(policy(clock), "j", "RTMIN+1"), replies, clock) == [2]
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


def view(state: str) -> bytes:
    return (
        b'{"ID":"j","Name":null,"Labels":{},"State":"%b","Reason":null,"ExitCode":0,"Signal":null,'
        b'"Error":null,"CreatedAt":"","StartedAt":null,"FinishedAt":null,"Duration":null,'
        b'"WorkingDir":"","Environment":[],"Timeout":null,"IdleTimeout":null,"QueueTimeout":null,'
        b'"Priority":0,"Grace":1,"Commands":[],"Limits":{},"Hold":false,"Files":[],"Usage":{"CPUSeconds":null,'
        b'"PeakMemory":null},"Output":{"Bytes":0,"Complete":true,"Gaps":[]},"Kill":null,"Left":[]}'
        % state.encode()
    )


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

    with pytest.raises(TimeoutError, match="is running after 50 s"):
        drive(flows.wait(policy(clock), "j", 50), respond, clock)
    assert clock.now == pytest.approx(1050)


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

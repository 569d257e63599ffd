"""Problem documents (RFC 9457): what a caller did is told in full, what we did by a number."""

import json
import re

import msgspec
import pytest
from sanic import Request, Sanic
from sanic.compat import Header
from sanic.exceptions import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ServerError,
    ServiceUnavailable,
)

from service import errors
from service.api.problems import CONTENT_TYPE, Problem, Problems

CALLERS = [leaf for leaf in errors.LEAVES.values() if leaf.status != 500]
MADE_OF = {
    "JobNotPending": ("an ID", "running"),
    "InputOffset": ("an ID", 9),
    "InputClosed": ("an ID", 9),
    "JobNotHeld": ("an ID", "it is running"),
    "SignalNotPassedOn": ("an ID", "SIGSTOP"),
    "NoTerminal": ("an ID",),
    "NoForeground": ("an ID",),
    "SubmissionLost": ("an ID",),
    "FilesLeft": ("a", "work/file", "Operation not permitted"),
    "UnknownJob": ("an-id",),
    "OffsetBeyondEnd": (9, 4),
    "OffsetInGap": (5, (3, 7), 9),
    "NotReady": ({"disk": "It can't be.", "records": None},),
    "InvalidJob": ([errors.FieldError("/A", "expected b"), errors.FieldError("", "all wrong")],),
}


@pytest.fixture
def request_():
    app = Sanic("problems")
    app.config.REQUEST_MAX_SIZE = 1234
    # One path, two handlers, as the product's routes have them.
    app.add_route(lambda _: None, "/some/where", methods=["GET", "HEAD"], name="read")
    app.add_route(lambda _: None, "/some/where", methods=["POST"], name="write")
    app.finalize()
    yield Request(b"/some/where", Header({}), "1.1", "PATCH", None, app)
    Sanic.unregister_app(app)


def answer(request, exception):
    response = Problems().response(request, exception)
    assert response.content_type == CONTENT_TYPE
    document = msgspec.json.decode(response.body)
    assert document["status"] == response.status
    assert re.fullmatch(r"urn:jobrunner:problem:[a-z_]+", document["type"])
    assert document["title"]
    assert document["detail"]
    return response, document


@pytest.mark.parametrize("leaf", CALLERS, ids=lambda leaf: leaf.__name__)
def test_each_error_of_the_tree_has_its_status_title_and_type(request_, leaf):
    error = leaf(*MADE_OF.get(leaf.__name__, ("It can't be.",)))
    response, document = answer(request_, error)
    assert response.status == leaf.status
    assert document["type"] == f"urn:jobrunner:problem:{leaf.code}"
    assert (document["title"], document["detail"]) == (leaf.title, error.detail)


def test_an_invalid_job_lists_its_field_errors(request_):
    _, document = answer(request_, errors.InvalidJob(*MADE_OF["InvalidJob"]))
    assert document["errors"] == [
        {"pointer": "/A", "detail": "expected b"},
        {"pointer": "", "detail": "all wrong"},
    ]


def test_an_offset_beyond_the_end_says_where_the_end_is(request_):
    response, _ = answer(request_, errors.OffsetBeyondEnd(9, 4))
    assert response.headers["Content-Range"] == "bytes */4"


def test_an_offset_in_a_gap_says_where_the_gap_and_the_end_are(request_):
    response, document = answer(request_, errors.OffsetInGap(5, (3, 7), 9))
    assert response.headers["Content-Range"] == "bytes */9"
    assert (document["gap"], document["end"]) == ([3, 7], 9)
    assert "goes on at offset 7" in document["detail"]


def test_what_may_be_retried_says_when(request_):
    for error in (errors.Unavailable("Not now."), ServiceUnavailable("busy")):
        response, _ = answer(request_, error)
        assert (response.status, response.headers["Retry-After"]) == (503, "1")


def test_the_description_knows_each_member_that_a_caller_is_told():
    members = {name for leaf in CALLERS for name, _ in leaf.members} | {"error_id"}
    assert {"type", "title", "status", "detail", *members} == set(Problem.__struct_fields__)


def test_credentials_that_are_invalid_are_told_from_missing_ones(request_):
    for is_wrong, more in ((False, ""), (True, ', error="invalid_token"')):
        response, document = answer(request_, errors.Unauthenticated("No.", is_wrong=is_wrong))
        assert response.headers["WWW-Authenticate"] == f'Bearer realm="jobrunner"{more}'
        assert document["title"] == "Unauthorized"


def test_a_missing_scope_is_named_in_the_document_and_in_the_challenge(request_):
    response, document = answer(request_, errors.MissingScope("jobs:read"))
    assert document["scope"] == "jobs:read"
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="jobrunner", error="insufficient_scope", scope="jobs:read"'
    )


def test_an_unknown_route_is_named(request_):
    _, document = answer(request_, NotFound("x"))
    assert (document["status"], document["detail"]) == (404, "There is no route /some/where.")


def test_a_wrong_method_says_which_are_allowed(request_):
    response, document = answer(request_, MethodNotAllowed("x", "PATCH", {"POST"}))
    assert response.headers["Allow"] == "GET, HEAD, POST"
    assert document["detail"] == "/some/where takes GET, HEAD, POST, got PATCH."


def test_a_large_body_says_how_large_one_may_be(request_):
    response, document = answer(request_, PayloadTooLarge("x"))
    assert (response.status, document["detail"]) == (
        413,
        "The body may have 1234 bytes at most.",
    )


def test_other_errors_of_sanic_keep_their_status(request_):
    response, document = answer(request_, BadRequest("Bad head"))
    assert (response.status, document["detail"]) == (400, "Bad head")


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a secret"),
        ServerError("a secret"),
        errors.IllegalTransition(trigger="secret", state="secret"),
        errors.CorruptLog("a secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_ours_shows_a_number_that_stands_in_the_log(request_, error, capsys):
    from service import logs

    logs.configure("json")
    response, document = answer(request_, error)
    assert response.status == 500
    assert "secret" not in response.body.decode()
    (line,) = capsys.readouterr().err.splitlines()
    logged = json.loads(line)
    assert logged["error_id"] == document["error_id"]
    assert logged["event"] == "request_failed"

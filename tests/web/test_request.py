"""What a request lets go of once its answer has begun, and what stays of it."""

from __future__ import annotations

from typing import Any

from sanic import Sanic
from sanic.compat import Header

from service.web.request import Request

HEAD = b"GET /a/attach?offset=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain"


def _request(app: Any) -> Request:
    headers = Header([("host", "localhost"), ("accept", "text/plain")])
    return Request(b"/a/attach?offset=0", headers, "1.1", "GET", None, app, head=HEAD)


def test_a_request_without_its_head_still_says_what_was_asked_for():
    request = _request(Sanic("forgotten", configure_logging=False))
    assert request.accept
    assert request.forwarded == {}
    request.forget_head()
    assert (request.method, request.path, request.query_string) == ("GET", "/a/attach", "offset=0")
    assert not request.head
    assert not request.headers
    assert request.url.endswith("/a/attach?offset=0")  # Sanic logs it of one that it has to end


def test_what_is_said_of_a_request_needs_no_dictionary():
    assert not hasattr(_request(Sanic("slots", configure_logging=False)), "__dict__")

"""Paths with and without the prefix of a proxy."""

from __future__ import annotations

import pytest
from sanic import Sanic

from service.web.prefix import request_class, without
from service.web.request import Request


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (b"/jobs/runner", b"/"),
        (b"/jobs/runner/", b"/"),
        (b"/jobs/runner?state=all", b"/?state=all"),
        (b"/jobs/runner/?state=all", b"/?state=all"),
        (b"/jobs/runner/x/attach?offset=1", b"/x/attach?offset=1"),
        (b"/jobs/runner/jobs/runner", b"/jobs/runner"),  # once
        (b"/x/attach", b"/x/attach"),
        (b"/", b"/"),
        (b"/jobs/runners/x", b"/jobs/runners/x"),
        (b"/jobs", b"/jobs"),
        (b"*", b"*"),
    ],
)
def test_a_path_begins_behind_the_prefix_if_it_has_it(url, expected):
    assert without(b"/jobs/runner", url) == expected


def test_a_request_has_the_path_behind_the_prefix_and_its_own_query():
    app = Sanic("prefixed", configure_logging=False)
    head = b"GET /jobs/a?offset=0 HTTP/1.1\r\nHost: localhost"
    request = request_class("/jobs")(
        url_bytes=b"/jobs/a?offset=0", headers={}, version="1.1", method="GET", transport=None,
        app=app, head=head,
    )  # fmt: skip
    assert (request.path, request.query_string) == ("/a", "offset=0")
    assert not hasattr(request, "__dict__")


def test_without_a_prefix_a_request_is_what_it_was():
    assert request_class("") is Request

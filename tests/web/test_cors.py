"""What a browser is told about pages of other sites."""

from types import SimpleNamespace

import pytest
from sanic.compat import Header

from service.api.cors import cors
from service.web.cors import is_preflight

PAGE = "https://ui.example"


@pytest.fixture
def ours():
    return cors(frozenset({PAGE}))


def request(method="GET", **headers):
    named = Header({name.replace("_", "-"): value for name, value in headers.items()})
    return SimpleNamespace(method=method, headers=named)


def words(header):
    return set(header.split(", "))


def test_by_default_there_is_none():
    assert cors(frozenset()) is None


def test_a_preflight_of_a_named_page_tells_all_that_routes_take(ours):
    asked = request("OPTIONS", origin=PAGE, access_control_request_method="DELETE")
    response = ours.preflight(asked)
    assert response.status == 204
    assert words(response.headers["access-control-allow-methods"]) >= {"GET", "POST", "DELETE"}
    assert words(response.headers["access-control-allow-headers"]) >= {
        "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Range",
    }  # fmt: skip
    assert int(response.headers["access-control-max-age"]) > 0
    assert "access-control-allow-private-network" not in response.headers
    assert "access-control-allow-credentials" not in response.headers


def test_a_page_on_the_internet_may_reach_a_service_of_a_private_network(ours):
    named = {
        "access_control_request_method": "GET",
        "access_control_request_private_network": "true",
    }
    response = ours.preflight(request("OPTIONS", origin=PAGE, **named))
    assert response.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(
    "asked",
    [
        request("OPTIONS", origin="https://evil.example", access_control_request_method="GET"),
        request("OPTIONS", origin="null", access_control_request_method="GET"),
        request("OPTIONS", access_control_request_method="GET"),
        request("OPTIONS", origin=PAGE),
        request("GET", origin=PAGE, access_control_request_method="GET"),
    ],
)
def test_nothing_else_is_a_preflight(ours, asked):
    assert ours.preflight(asked) is None
    assert is_preflight(request("OPTIONS", access_control_request_method="GET"))


def test_a_response_is_for_the_page_that_asked(ours):
    headers = Header({})
    ours.add_to(headers, request(origin=PAGE))
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["vary"] == "Origin"
    assert words(headers["access-control-expose-headers"]) >= {
        "Location", "Link", "Retry-After", "Content-Range", "ETag", "Jobrunner-Offset",
    }  # fmt: skip
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "HTTPS://UI.EXAMPLE"])
def test_a_response_for_anybody_else_says_only_that_it_is_not_for_all(ours, origin):
    headers = Header({"vary": "Accept"})
    ours.add_to(headers, request(origin=origin))
    assert dict(headers) == {"vary": "Accept, Origin"}

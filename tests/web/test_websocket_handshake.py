"""The opening handshake: what a WebSocket client sends gets a 101, anything else is told why not."""

from __future__ import annotations

import pytest
from sanic.compat import Header
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.uri import parse_uri

from service.errors import BadHeader, JobrunnerError, UpgradeRequired
from service.web.websocket_handshake import accept, offered_subprotocols

pytestmark = pytest.mark.once

# Source: RFC 6455, section 1.3.
KEY, ACCEPTED = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-key": KEY,
    "sec-websocket-version": "13",
}


def headers(**changes: str | None) -> Header:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return Header({k: v for k, v in {**GOOD, **named}.items() if v is not None})


def test_the_example_of_the_standard_is_accepted() -> None:
    assert accept("GET", "1.1", headers(), "") == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": ACCEPTED,
    }
    given = headers(connection="keep-alive, upgrade", upgrade="WebSocket")
    assert accept("GET", "1.1", given, "x")["Sec-WebSocket-Protocol"] == "x"


def test_another_s_client_is_content() -> None:
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"), subprotocols=["a", "b"])  # type: ignore[list-item]
    asked = client.connect()
    given = Header(asked.headers.raw_items())
    assert offered_subprotocols(given) == ["a", "b"]
    answer = Response(
        101, "Switching Protocols", type(asked.headers)(accept("GET", "1.1", given, "b"))
    )
    client.process_response(answer)
    assert client.subprotocol == "b"


@pytest.mark.parametrize(
    ("method", "version", "changes", "error", "word"),
    [
        ("HEAD", "1.1", {}, UpgradeRequired, "HEAD"),
        ("GET", "1.0", {}, UpgradeRequired, "HTTP/1.0"),
        ("GET", "1.1", {"connection": "keep-alive"}, UpgradeRequired, "Connection: Upgrade"),
        ("GET", "1.1", {"connection": None, "upgrade": None}, UpgradeRequired, "Upgrade"),
        ("GET", "1.1", {"upgrade": "h2c"}, UpgradeRequired, "Upgrade: websocket"),
        ("GET", "1.1", {"sec_websocket_version": "8"}, UpgradeRequired, "13"),
        ("GET", "1.1", {"sec_websocket_version": None}, UpgradeRequired, "13"),
        ("GET", "1.1", {"sec_websocket_key": None}, BadHeader, "16 bytes"),
        ("GET", "1.1", {"sec_websocket_key": "c2hvcnQ="}, BadHeader, "16 bytes"),
        ("GET", "1.1", {"sec_websocket_key": "no base64!"}, BadHeader, "16 bytes"),
        ("GET", "1.1", {"sec_websocket_key": "ü"}, BadHeader, "16 bytes"),
    ],
)
def test_what_is_no_handshake_is_told_what_one_is(
    method: str,
    version: str,
    changes: dict[str, str | None],
    error: type[JobrunnerError],
    word: str,
) -> None:
    with pytest.raises(error) as caught:
        accept(method, version, headers(**changes), "")
    assert word in caught.value.detail


def test_subprotocols_may_come_in_several_lines() -> None:
    given = Header([("sec-websocket-protocol", "a, b"), ("sec-websocket-protocol", " c,,")])
    assert offered_subprotocols(given) == ["a", "b", "c"]

"""What answers of the API must look like, whichever route gave them."""

from __future__ import annotations

import re
import socket
from datetime import datetime
from typing import Any

import httpx
from running import Service

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
# Seconds: a fuse.
_FUSE_S = 300.0


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document that `answer` must be. Source: RFC 9457, section 3."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    for key in ("type", "title", "detail"):
        assert isinstance(document[key], str)
        assert document[key]
    return document


def pointers(document: dict[str, Any]) -> list[str]:
    """The places of the body that a problem document names."""
    return [error["pointer"] for error in document["errors"]]


def time_of(text: str) -> datetime:
    """A time as views show it. Source: RFC 3339, in UTC."""
    assert _TIME.fullmatch(text), text
    return datetime.fromisoformat(text)


def every_id(service: Service) -> list[str]:
    """Every job that is stored, oldest first."""
    answer = service.client.get("/", params={"state": "all"})
    assert answer.status_code == 200
    body = answer.json()
    assert "Next" not in body
    ids: list[str] = body["IDs"]
    return ids


def raw(service: Service, request: bytes) -> tuple[int, bytes, bytes]:
    """Send exactly these bytes on a connection of its own, and read until it ends: the status, the
    head and the body.
    """
    with socket.create_connection(("127.0.0.1", service.port), _FUSE_S) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), head, body

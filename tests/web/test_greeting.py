"""What the start says: where, for whom, as whom, and a request that works."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

import service
from service import logs
from service.access import tokens
from service.access.scopes import Scope
from service.kinds.settings import read_settings
from service.web.greeting import greet


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    logs.configure("json")
    yield lambda: json.loads(capsys.readouterr().err)
    structlog.reset_defaults()


def app(*, ssl: object = None, **options: Any) -> Any:
    one = SimpleNamespace(settings={"host": "127.0.0.1", "port": 8080, **options})
    return SimpleNamespace(state=SimpleNamespace(server_info=[one], ssl=ssl))


def settings(state_dir: Path, **more: str) -> Any:
    return read_settings({"JOBRUNNER_STATE_DIR": str(state_dir), **more})


def test_without_tokens_it_says_who_may_call_and_how_to_close_that(said, tmp_path: Path):
    greet(app(), settings(tmp_path))
    line = said()
    assert line["event"] == "service_ready"
    assert (line["version"], line["url"]) == (service.__version__, "http://127.0.0.1:8080")
    assert line["state"] == str(tmp_path)
    assert line["callers"].startswith("every user of this host, over loopback")
    assert line["jobs"].startswith("run as ")
    assert line["stop"] == "Ctrl-C or TERM ends the jobs that run (JOBRUNNER_SHUTDOWN=kill)"
    assert line["try"].startswith("curl -s http://127.0.0.1:8080/ -H 'Content-Type")


def test_the_address_is_the_one_that_it_listens_on(said, tmp_path: Path):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        greet(app(ssl=object(), sock=listening), settings(tmp_path, JOBRUNNER_SHUTDOWN="drain"))
        line = said()
        assert line["url"] == f"https://[::1]:{listening.getsockname()[1]}"
        assert "waits for the jobs that run" in line["stop"]


def test_a_unix_socket_has_a_request_of_its_own(said, tmp_path: Path):
    greet(app(unix="/run/a.sock", host=None, port=None), settings(tmp_path))
    line = said()
    assert line["url"] == "unix:/run/a.sock"
    assert "curl -s --unix-socket /run/a.sock http://localhost/ " in line["try"]
    assert line["callers"].startswith("who may open the socket")


def test_with_tokens_the_request_has_one(said, tmp_path: Path):
    tokens.create(tmp_path, "ann", {Scope.RUN})
    greet(app(), settings(tmp_path))
    line = said()
    assert line["callers"] == "who has a token (jobrunner token list)"
    assert '"Authorization: Bearer $TOKEN"' in line["try"]

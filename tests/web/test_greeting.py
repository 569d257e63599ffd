"""What the start says: where, for whom, as whom, and a request that works."""

from __future__ import annotations

import json
import shlex
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
from service.client.address import DEFAULT_URL
from service.kinds.settings import read_settings
from service.web import greeting
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
    assert line["try"] == "jobrunner run -- echo hello"
    assert line["curl"].startswith("curl -s http://127.0.0.1:8080/ -H 'Content-Type")
    assert "socket" not in line


def test_the_address_is_the_one_that_it_listens_on(said, tmp_path: Path):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        greet(app(ssl=object(), sock=listening), settings(tmp_path, JOBRUNNER_SHUTDOWN="drain"))
        line = said()
        url = f"https://[::1]:{listening.getsockname()[1]}"
        assert line["url"] == url
        assert line["try"] == f"JOBRUNNER_URL='{url}' jobrunner run -- echo hello"
        assert "waits for the jobs that run" in line["stop"]


def test_a_unix_socket_has_a_request_of_its_own(said, tmp_path: Path):
    greet(app(unix="/run/a sock", host=None, port=None), settings(tmp_path))
    line = said()
    assert line["url"] == "unix:///run/a%20sock"
    assert line["try"] == "JOBRUNNER_URL=unix:///run/a%20sock jobrunner run -- echo hello"
    assert "curl -s --unix-socket '/run/a sock' http://localhost/ " in line["curl"]
    assert line["callers"].startswith("who may open the socket")


def test_with_tokens_the_request_has_one(said, tmp_path: Path):
    tokens.create(tmp_path, "ann", {Scope.RUN})
    greet(app(), settings(tmp_path))
    line = said()
    assert line["callers"] == "who has a token (jobrunner token list)"
    assert '"Authorization: Bearer $TOKEN"' in line["curl"]
    assert line["try"] == "JOBRUNNER_TOKEN=$TOKEN jobrunner run -- echo hello"


@pytest.mark.parametrize(("host", "here"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])  # noqa: S104 - as it is given
def test_a_service_on_all_addresses_is_tried_over_loopback(
    said, tmp_path: Path, host: str, here: str
):
    greet(app(host=host, port=9000), settings(tmp_path))
    line = said()
    assert line["try"].startswith(f"JOBRUNNER_URL={shlex.quote(f'http://{here}:9000')} ")
    assert line["curl"].startswith(f"curl -s http://{here}:9000/ ")


def test_a_second_socket_is_named_beside_the_url(said, tmp_path: Path):
    greet(app(), settings(tmp_path, JOBRUNNER_SOCKET="/run/a.sock"))
    line = said()
    assert (line["url"], line["socket"]) == ("http://127.0.0.1:8080", "unix:///run/a.sock")
    assert line["try"] == "jobrunner run -- echo hello"


def test_clients_look_for_it_where_it_says_nothing_of_the_url():
    assert greeting._DEFAULT_URL == DEFAULT_URL

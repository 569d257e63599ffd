"""Which service a command speaks to, with which token."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from service.cli import contexts
from service.cli.contexts import Context, ContextError, Contexts
from service.cli.destination import Destination, destination

pytestmark = pytest.mark.once

STORED = Contexts(
    current="one",
    contexts={
        "one": Context(url="https://one", token="t1", ca="/one.pem"),
        "two": Context(url="https://two", token="t2"),
        "open": Context(url="http://open"),
    },
)
ENVIRONMENT = {"JOBRUNNER_URL": "http://env"}
TOKEN = {"JOBRUNNER_TOKEN": "of the environment"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    contexts.change(contexts.path_of(home), lambda _: STORED)
    return home


def found(destination: Destination) -> tuple[str, str | None, str | None]:
    return destination.url, destination.token, destination.ca


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({}, {}, ("https://one", "t1", "/one.pem")),
        ({"context": "two"}, {}, ("https://two", "t2", None)),
        ({"context": "two"}, ENVIRONMENT | TOKEN, ("https://two", "t2", None)),
        # No token: it wants none, and the environment's is for another service.
        ({"context": "open"}, TOKEN, ("http://open", "", None)),
        # The token of a context goes nowhere else.
        ({"url": "https://one"}, {}, ("https://one", None, None)),
        ({"url": "http://x"}, ENVIRONMENT, ("http://x", None, None)),
        ({}, ENVIRONMENT, ("http://env", None, None)),
        ({}, ENVIRONMENT | TOKEN, ("http://env", None, None)),
        ({}, TOKEN, ("https://one", None, "/one.pem")),
        ({}, {"JOBRUNNER_TOKEN_FILE": "/f"}, ("https://one", None, "/one.pem")),
        ({}, {"JOBRUNNER_URL": "", "JOBRUNNER_TOKEN": ""}, ("https://one", "t1", "/one.pem")),
    ],
)
def test_options_win_then_the_environment_then_the_current_context(
    home: dict[str, str], options, environment, expected
):
    assert found(destination(**options, environment=home | environment)) == expected


def test_without_any_it_is_this_host(tmp_path: Path):
    nothing = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert found(destination(environment=nothing)) == ("http://127.0.0.1:8080", None, None)


def test_both_options_are_too_many(home: dict[str, str]):
    with pytest.raises(click.UsageError, match="one of --url and --context"):
        destination("http://x", "one", home)


def test_an_unknown_context_is_named(home: dict[str, str]):
    with pytest.raises(ContextError, match="no context 'three'; known: one, open, two"):
        destination(context="three", environment=home)


def test_the_environment_needs_no_readable_contexts(home: dict[str, str]):
    contexts.path_of(home).write_text("damaged")
    assert destination(environment=home | ENVIRONMENT).url == "http://env"
    with pytest.raises(ContextError, match=r"contexts\.json"):
        destination(environment=home)

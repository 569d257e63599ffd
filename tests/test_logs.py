"""Log lines: an event and its fields, in either format, and never what the code was working on."""

import json
import logging
import sys

import pytest
import structlog

from service import logs

SECRET = "hunter2"


@pytest.fixture
def restored():
    yield
    structlog.reset_defaults()


def fail(variable):
    environment = {"TOKEN": variable}
    raise ValueError(f"{len(environment)} wrong")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_no_variables(restored, capsys, log_format):
    logs.configure(log_format)
    try:
        fail(SECRET)
    except ValueError as exc:
        structlog.get_logger("test").error("request_failed", error_id="e1", exc_info=exc)
    said = capsys.readouterr().err
    assert "1 wrong" in said
    assert "in fail" in said
    assert SECRET not in said


def test_a_json_line_is_one_object_with_the_event_and_its_fields(restored, capsys):
    logs.configure("json")
    structlog.get_logger("test").info("job_adopted", job="a\nb", events=3)
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["job"], said["events"]) == ("job_adopted", "a\nb", 3)
    assert said["level"] == "info"
    assert said["timestamp"].startswith("20")


def test_a_text_line_has_the_event_and_its_fields(restored, capsys):
    logs.configure("text")
    structlog.get_logger("test").info("job_adopted", job="a", events=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert "job_adopted" in line
    assert "events=3 job=a" in line


def test_what_libraries_log_is_an_object_a_line_too():
    formatter = logs.JsonFormatter()
    try:
        fail(SECRET)
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord(
        "sanic.root", logging.INFO, "", 0, "\x1b[1mGo\x1b[0m %s", ("a\n",), error
    )
    line = formatter.format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert (said["event"], said["logger"], said["message"]) == ("log", "sanic.root", "Go a\n")
    assert "1 wrong" in said["exception"]
    assert SECRET not in line


def test_libraries_keep_their_own_form_in_text():
    assert logs.of_libraries("text") is None

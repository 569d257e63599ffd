"""Log lines: an event and its fields, in either format, and never what the code was working on."""

import json
import logging
import re
import subprocess
import sys

import pytest
import structlog

from service import logs
from service.web.library_logs import LineFormatter, of_libraries

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
    structlog.get_logger("test").info("job_taken_over", job="a\nb", events=3)
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["job"], said["events"]) == ("job_taken_over", "a\nb", 3)
    assert said["level"] == "info"
    assert said["timestamp"].startswith("20")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_of_processes_that_share_an_unbuffered_log_stay_whole(log_format):
    write_lines = (
        "import structlog; from service import logs;"
        f"logs.configure({log_format!r}); log = structlog.get_logger('test');"
        "[log.info('written', number=n) for n in range(2000)]"
    )
    writers = []
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as log:
        for _ in range(4):
            command = [sys.executable, "-u", "-P", "-c", write_lines]
            writers.append(subprocess.Popen(command, stderr=log.stdin))
        lines = log.communicate()[0].decode().splitlines()
        assert [writer.wait() for writer in writers] == [0] * 4
    assert len(lines) == 4 * 2000
    numbers = [
        json.loads(line)["number"] if log_format == "json" else int(line.rpartition("number=")[2])
        for line in lines
    ]
    assert sorted(numbers) == sorted(4 * list(range(2000)))


def test_a_text_line_has_the_event_and_its_fields(restored, capsys):
    logs.configure("text")
    structlog.get_logger("test").info("job_taken_over", job="a", events=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert "job_taken_over" in line
    assert "events=3 job=a" in line


def test_what_libraries_log_is_an_object_a_line_too():
    formatter = LineFormatter("json")
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


def record_of(message, *arguments, logger="sanic.server", error=None):
    return logging.LogRecord(logger, logging.INFO, "", 0, message, arguments, error)


def test_what_libraries_log_has_the_form_of_the_services_own_lines():
    line = LineFormatter("text").format(record_of("Go %s", "now", logger="sanic.root"))
    assert re.fullmatch(r"20\S+Z \[info +\] log +\[sanic\.root\] message='Go now'", line)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ("Starting worker [%s]", "worker_starting"),
        ("Worker ready [%s]", "worker_ready"),
        ("Stopping worker [%s]", "worker_stopping"),
        ("Worker complete [%s]", "worker_stopped"),
    ],
)
def test_what_sanic_says_of_its_workers_are_events(message, event):
    said = json.loads(LineFormatter("json").format(record_of(message, 123)))
    assert (said["event"], said["pid"]) == (event, 123)
    assert LineFormatter("text").format(record_of(message, 123)).endswith(" pid=123")


def test_sanics_advice_is_dropped_and_all_goes_to_standard_error(monkeypatch, capsys):
    config = of_libraries("text")
    assert config["handlers"].keys() == {"stderr"}
    kept = config["filters"]["kept"]["()"]()
    assert not kept(record_of("Sanic is running in PRODUCTION mode. Consider"))
    assert not kept(record_of("Server Stopped"))  # it comes before the jobs have ended
    assert kept(record_of("Worker ready [%s]", 1))


def test_the_fields_of_a_start_stand_one_below_the_other_for_people(restored, capsys):
    logs.configure("text")
    fields = {"version": "1", "url": "http://a", "state": "/a b", "try": "curl -d '{}' \x1b[2J"}
    structlog.get_logger("test").info(logs.STARTED, **fields)
    first, *rest = capsys.readouterr().err.splitlines()
    assert "service_ready" in first
    assert "url=http://a version=1" in first
    assert rest == ["    state  /a b", "    try    curl -d '{}' \\u001b[2J"]


HOSTILE = "a\x1b[2J\u202e\x9b\u2028\udcff\nGET /"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_text_of_strangers_drives_no_terminal_and_begins_no_line(restored, capsys, log_format):
    logs.configure(log_format)
    try:
        raise ValueError(HOSTILE)
    except ValueError as exc:
        structlog.get_logger("test").error("x", path=HOSTILE, names=[HOSTILE], exc_info=exc)
        record = logging.LogRecord("sanic.error", 40, "", 0, "%s", (HOSTILE,), sys.exc_info())
    said = capsys.readouterr().err
    if log_format == "json":
        (line,) = said.splitlines()
        assert json.loads(line)["path"] == HOSTILE
    line = LineFormatter(log_format).format(record)
    assert "sanic.error" in line
    for text in (said, line):
        assert not set(text) & set(HOSTILE) - set(" -~\naGETJ[2/"), repr(text)
        assert not [x for x in text.splitlines() if x.startswith("GET /")]


def test_lines_that_callers_cause_are_bounded_and_what_was_left_out_is_told():
    now = [0.0]
    limit = logs.LineLimit(lambda: now[0])

    def write(event, count):
        lines = []
        for _ in range(count):
            try:
                lines.append(limit(None, "info", {"event": event}))
            except structlog.DropEvent:
                continue
        return lines

    assert len(write("stream_cut", 1000)) == 60
    assert len(write("request_failed", 1)) == 1
    assert len(write("job_taken_over", 1000)) == 1000
    now[0] += 60
    first, second = write("stream_cut", 2)
    assert first["omitted"] == 940
    assert "omitted" not in second

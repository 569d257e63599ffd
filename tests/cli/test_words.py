"""What the command line makes of words, and what it shows of jobs: no service, no process."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec
import pytest

from service.cli import (
    assignments,
    durations,
    exit_status,
    in_words,
    selecting,
    several,
    signal_names,
    sizes,
    stamping,
)
from service.cli.durations import DURATION
from service.cli.signal_names import SIGNAL
from service.cli.table import Cell, Column, Lines, print_pairs, print_table
from service.jobs.views import JobView

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def view(**members: Any) -> JobView:
    """A finished job, with what a test is about."""
    plain = {
        "ID": "3f2a0000-0000-4000-8000-000000000000", "Name": None, "Labels": {}, "State": "exited",
        "Reason": None, "ExitCode": 0, "Signal": None, "Error": None,
        "CreatedAt": "2026-01-31T11:59:00.000000Z", "StartedAt": "2026-01-31T11:59:01.000000Z",
        "FinishedAt": "2026-01-31T11:59:02.000000Z", "Duration": 1.0, "WorkingDir": "/w",
        "Environment": [], "Timeout": None, "IdleTimeout": None, "QueueTimeout": None,
        "Priority": 0, "Grace": 10.0, "Commands": [{"CommandLine": "true", "State": "exited"}],
        "Limits": {}, "Hold": False, "Files": [], "Usage": {"CPUSeconds": None, "PeakMemory": None},
        "Output": {"Bytes": 0, "Complete": True, "Gaps": [], "Exact": True}, "Kill": None, "Left": [],
        "TTY": None, "WaitingForInput": None,
    }  # fmt: skip
    assert set(members) <= set(plain)
    return msgspec.convert({**plain, **members}, JobView)


def kill(signals: list[str], **members: Any) -> dict[str, Any]:
    plain = {"RequestedAt": "x", "Signal": "SIGTERM", "Grace": 10.0, "Found": 2}
    return {**plain, "Signals": signals, "Escalated": False, "VerifiedGone": True, **members}


@pytest.mark.parametrize(
    "module",
    [
        assignments,
        durations,
        exit_status,
        in_words,
        selecting,
        several,
        signal_names,
        sizes,
        stamping,
    ],
)
def test_examples_of_docstrings_happen(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("members", "status", "state"),
    [
        ({}, 0, "exited 0"),
        ({"ExitCode": 7}, 7, "exited 7"),
        ({"ExitCode": None, "Signal": "SIGSEGV"}, 139, "exited SIGSEGV"),
        ({"ExitCode": None, "Signal": "SIGRTMIN+3"}, 165, "exited SIGRTMIN+3"),
        ({"ExitCode": None, "Error": "No such directory."}, 125, "not started"),
        ({"State": "killed", "Reason": "requested", "ExitCode": None, "Signal": "SIGKILL"}, 137, "killed"),
        ({"State": "killed", "Reason": "requested", "ExitCode": 0, "Kill": kill(["SIGTERM"])}, 143, "killed"),
        ({"State": "killed", "Reason": "timeout", "ExitCode": 0}, 124, "killed timeout"),
        ({"State": "killed", "Reason": "queue-timeout", "ExitCode": None}, 124, "killed queue-timeout"),
        ({"State": "killed", "Reason": "lost", "ExitCode": None}, 125, "killed lost"),
    ],
)  # fmt: skip
def test_a_job_has_an_exit_status_and_a_word(members, status, state):
    job = view(**members)
    assert exit_status.of_job(job) == status
    assert in_words.state_of(job).text == state


def test_what_the_status_does_not_say_is_remarked():
    assert exit_status.remark(view(ExitCode=3)) is None
    assert exit_status.remark(view(State="killed", Reason="requested")) is None
    assert "supervisor died" in (exit_status.remark(view(State="killed", Reason="lost")) or "")
    assert "no bash" in (exit_status.remark(view(Error="There is no bash.")) or "")
    hogs = [{"CommandLine": "true"}, {"CommandLine": "hog", "OOMKilled": True}]
    killed = view(Commands=hogs, ExitCode=None, Signal="SIGKILL")
    assert "out of memory" in (exit_status.remark(killed) or "")
    assert exit_status.remark(view(Commands=hogs)) is None


@pytest.mark.parametrize(
    ("receipt", "said"),
    [
        (None, "had ended by itself."),
        (kill(["SIGTERM"]), "was killed: TERM sent; 2 processes found, all seen gone."),
        (
            kill(["SIGTERM", "SIGKILL"], VerifiedGone=False, Found=1),
            "was killed: TERM, then KILL sent; 1 process found, NOT all seen gone.",
        ),
        (kill([], Found=None, VerifiedGone=None), "was killed: no signal sent."),
    ],
)
def test_a_receipt_is_a_sentence(receipt, said):
    assert exit_status.receipt(view(Kill=receipt)).endswith(f"000000000000 {said}")


def test_the_worst_of_several_is_the_highest():
    assert exit_status.worst([0, 139, 3]) == 139
    assert exit_status.worst([0, 0]) == 0


@pytest.mark.parametrize(
    ("word", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)]
)
def test_a_duration_is_a_number_and_a_unit(word, seconds):
    assert DURATION.convert(word, None, None) == seconds


@pytest.mark.parametrize("word", ["", "s", "-1", "1w", "1 h", "1h30m", "١", "inf", "nan", "1e3"])
def test_another_word_is_no_duration(word):
    with pytest.raises(click.BadParameter, match="such as 90, 90s, 10m or 2h"):
        DURATION.convert(word, None, None)


@pytest.mark.parametrize(
    ("word", "name"),
    [("TERM", "TERM"), ("sigint", "INT"), ("9", "KILL"), ("SIGRTMIN+3", "RTMIN+3"), ("hup", "HUP")],
)
def test_a_signal_has_a_name_or_a_number(word, name):
    assert SIGNAL.convert(word, None, None) == name


@pytest.mark.parametrize("word", ["", "NONE", "0", "99", "SIG", "RTMIN+x"])
def test_another_word_is_no_signal(word):
    with pytest.raises(click.BadParameter, match="such as TERM, SIGINT or 9"):
        SIGNAL.convert(word, None, None)


def test_times_are_told_from_now_and_never_to_come():
    job = view()
    assert in_words.age_of(job, NOW).text == "1m00s"
    assert in_words.age_of(job, NOW - timedelta(hours=1)).text == "0.0s"
    assert in_words.duration_of(job, NOW).text == "1.0s"
    running = view(State="running", Duration=None, FinishedAt=None, ExitCode=None)
    assert in_words.duration_of(running, NOW).text == "59s"
    pending = view(State="pending", Duration=None, StartedAt=None, FinishedAt=None, ExitCode=None)
    assert in_words.duration_of(pending, NOW).text == "-"


@pytest.mark.parametrize(
    ("commands", "line"),
    [
        ([{"CommandLine": "a\n  b\tc"}], "a b c"),
        ([{"CommandLine": "a"}, {"CommandLine": "b"}, {"CommandLine": "c"}], "a (+2)"),
        ([{"Image": "busybox:1", "CommandLine": "ls"}], "[busybox:1] ls"),
        ([{"Repository": "busybox", "Arguments": ["echo", "a b"]}], "[busybox] echo 'a b'"),
        ([{"Image": "busybox", "CommandLine": None, "Arguments": None}], "[busybox]"),
        ([{"CommandLine": "x" * 10_000}], "x" * 500),
    ],
)
def test_a_command_is_a_line(commands, line):
    assert in_words.command_of(view(Commands=commands)).text == line


COLUMNS = (Column("A"), Column("B", 4), Column("C", 6))


def drawn(capsys: pytest.CaptureFixture[str], rows: list[list[str]], **options: Any) -> list[str]:
    print_table(COLUMNS, [[Cell(text, "red") for text in row] for row in rows], **options)
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch):
    def set_to(number: int) -> None:
        monkeypatch.setenv("COLUMNS", f"{number}")

    return set_to


def test_a_table_is_as_wide_as_it_must_be(capsys, columns):
    columns(80)
    assert drawn(capsys, [["1", "two", "three"]]) == ["A  B    C", "1  two  three"]
    assert drawn(capsys, []) == ["A  B  C"]


def test_the_last_columns_are_cut_first_and_never_below_their_least(capsys, columns):
    row = ["12345", "b" * 10, "c" * 20]
    columns(30)
    assert drawn(capsys, [row])[1] == f"12345  {'b' * 10}  {'c' * 10}…"
    columns(21)
    assert drawn(capsys, [row])[1] == "12345  bbbbb…  ccccc…"
    columns(5)
    assert drawn(capsys, [row])[1] == "12345  bbb…  ccccc…"
    assert drawn(capsys, [row], wide=True)[1] == "  ".join(row)


def test_wide_and_unsafe_characters_take_their_room(capsys, columns):
    columns(14)
    assert drawn(capsys, [["漢", "\x1b[2J", "漢字漢字"]]) == ["A   B     C", "漢  \\u0…  漢字…"]
    print_pairs([("Long title", Cell("x\ny")), ("T", Cell("y" * 200))])
    assert capsys.readouterr().out == f"Long title  x\\u000ay\nT           {'y' * 200}\n"


def test_lines_are_printed_at_once_in_fixed_columns(capsys, columns):
    columns(24)
    lines = Lines(COLUMNS)
    lines.print([Cell("1"), Cell("bbbbbb"), Cell("c" * 40)])
    lines.print([Cell("12345"), Cell("b"), Cell("c")])
    assert capsys.readouterr().out.splitlines() == [
        "A  B     C",
        "1  bbb…  " + "c" * 14 + "…",
        "12345  b     c",
    ]

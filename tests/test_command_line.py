"""`jobrunner serve`: what is wrong with an option is a sentence, and help says all that there is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from service.cli import main
from service.kinds.settings import declared_settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--workers 0", "argument -w/--workers: '0' is not a number of workers from 1 to 1024"),
        ("--workers many", "'many' is not a number of workers from 1 to 1024"),
        ("--workers 2000", "'2000' is not a number of workers from 1 to 1024"),
        ("--workers", "argument -w/--workers: expected one argument"),
        ("--wrokers 2", "serve has no option --wrokers; the nearest one is --workers"),
        ("--worker 2", "serve has no option --worker; the nearest one is --workers"),
        ("--daemon", "serve has no option --daemon"),
        ("--port 99999", "'99999' is not a port number from 0 to 65535"),
        ("--fast --workers 2", "not allowed with argument --fast"),
        ("--cert /none --key /none", "argument --cert: there is no file '/none'"),
        ("--cert /etc/passwd", "--cert and --key go together, and one of them is missing"),
        ("now", "serve takes options only, got 'now'"),
    ],
)
def test_a_wrong_option_is_a_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: str, said: str
):
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments.split()])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("jobrunner: ")
    assert said in line
    assert line.endswith("`jobrunner serve --help` lists the options.")


def test_help_lists_options_settings_and_exit_statuses(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ("--workers N", "--port N", "--unix PATH", "--cert FILE", "--single-process"):
        assert option in text
    lines = [line.split() for line in text.splitlines() if line.startswith("  JOBRUNNER_")]
    assert [line[0] for line in lines] == [setting.variable for setting in declared_settings()]
    assert ["JOBRUNNER_PORT", "(8080)"] in lines
    assert "exit status: 0 after TERM" in text


@pytest.mark.parametrize(
    "arguments", [[], ["--workers", "4"], ["-H", "::1", "-p", "0"], ["--dev", "--no-motd"]]
)
def test_right_options_go_on_to_sanic(monkeypatch: pytest.MonkeyPatch, arguments: list[str]):
    class Became(Exception):
        pass

    def become(program: str, given: list[str]) -> Any:
        raise Became(program, given)

    monkeypatch.setattr(os, "execv", become)
    with pytest.raises(Became) as became:
        main(["serve", *arguments])
    program, given = became.value.args
    assert program == sys.executable
    assert given[1:] == ["-X", "utf8", "-m", "sanic", "service.app", *arguments]


def test_a_time_out_without_waiting_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JOBRUNNER_STATE_DIR", str(tmp_path))
    assert main(["drain", "--timeout", "3"]) == 2
    assert main(["drain"]) == 1
    assert main(["resume"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "jobrunner: --timeout is for --wait, which is missing."
    assert said[1].startswith(f"jobrunner: no supervisor responds in {tmp_path}")

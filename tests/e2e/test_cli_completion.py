"""Completion, in the shells that people have: typed at a terminal, and then run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from command_line import FUSE_S, CommandLine
from running import Service

from service.cli.completing import PATIENCE_S

pytestmark = [pytest.mark.e2e, pytest.mark.once]

SHELLS = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        "bind 'set enable-bracketed-paste off'; source <(jobrunner completion bash)",
    ),
    "zsh": (
        ["-f", "-i"],
        "autoload -Uz compinit && compinit -u -D; source <(jobrunner completion zsh)",
    ),
    "fish": (["--no-config", "-i"], "jobrunner completion fish | source"),
}


@pytest.fixture
def environment(service: Service, tmp_path: Path) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    return CommandLine(
        service.url,
        PATH=programs,
        HOME=str(tmp_path),
        XDG_CONFIG_HOME=str(tmp_path / "config"),
        XDG_DATA_HOME=str(tmp_path / "data"),
        TERM="xterm",
        PYTHONSAFEPATH="1",
        JOBRUNNER_COMPLETION_TIMEOUT=str(FUSE_S),
    ).environment


@contextmanager
def shell(name: str, environment: dict[str, str]) -> Iterator[Callable[[str, str], None]]:
    """What types a line, and expects something to come of it."""
    options, setup = SHELLS[name]
    terminal: pexpect.spawn[bytes] = pexpect.spawn(
        name, options, env=environment, timeout=FUSE_S, dimensions=(50, 200)
    )

    def typed(line: str, expected: str) -> None:
        terminal.send(f"{line}\r")
        terminal.expect(expected)

    try:
        typed(
            f"{setup}; echo set $((1+1)) up"
            if name != "fish"
            else f"{setup}; echo set (math 1+1) up",
            "set 2 up",
        )
        yield typed
    finally:
        terminal.close(force=True)


@pytest.mark.parametrize("name", SHELLS)
def test_what_is_completed_at_a_terminal_runs(
    name: str, service: Service, environment: dict[str, str]
):
    if shutil.which(name) is None and "CI" not in os.environ:  # noqa: TID251 - which must run it
        pytest.skip(f"{name} isn't installed")
    named = service.run({"CommandLine": "echo $((6*7))-named", "Name": f"of-{name}.sh"})["ID"]
    last = service.run("echo $((6*7))-last")["ID"]
    subprocess.run(
        ["jobrunner", "login", "--name", "lab", service.url], env=environment, check=True
    )
    with shell(name, environment) as typed:
        typed(f"jobrunner att\tof-{name}\t", "42-named\r\n")
        typed(f"jobrunner attach {named[:-2]}\t", "42-named\r\n")
        typed(f"jobrunner attach {last[:-2]}\t", "42-last\r\n")
        typed("jobrunner attach @\t", "42-last\r\n")
        typed("jobrunner --cont\tla\tcontext sh\t", r"\(--context: lab\)\r\n")
        typed("jobrunner tok\tcre\t--help", "usage: jobrunner token create")
    service.client.post("/clean?state=all&name=of-*")


@contextmanager
def silent() -> Iterator[str]:
    """The URL of something that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def completed(line: str, environment: dict[str, str]) -> list[str]:
    """As bash asks."""
    typed = {"COMP_LINE": line, "COMP_WORDBREAKS": " \t\n\"'@><=;|&(:"}
    done = subprocess.run(
        ["jobrunner"],
        env=environment | typed | {"_JOBRUNNER_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        timeout=FUSE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_without_a_service_there_are_no_candidates_and_no_words(
    environment: dict[str, str], tmp_path: Path
):
    for url in (f"unix://{tmp_path}/none", "ftp://wrong"):
        assert completed("jobrunner attach ", environment | {"JOBRUNNER_URL": url}) == []
    stored = tmp_path / "config" / "jobrunner" / "contexts.json"
    stored.parent.mkdir(parents=True)
    stored.write_text("damaged")
    assert completed("jobrunner context use ", environment) == []
    del environment["JOBRUNNER_URL"]
    assert completed("jobrunner attach ", environment) == []
    assert "attach" in "".join(completed("jobrunner att", environment))


@pytest.mark.parametrize("said", [None, "0.2", "0", "-1", "inf", "soon", ""])
def test_a_silent_service_holds_up_nobody_for_longer_than_a_second(
    environment: dict[str, str], said: str | None
):
    del environment["JOBRUNNER_COMPLETION_TIMEOUT"]
    if said is not None:
        environment["JOBRUNNER_COMPLETION_TIMEOUT"] = said
    with silent() as url:
        done = completed("jobrunner attach ", environment | {"JOBRUNNER_URL": url})
    assert done == []
    assert PATIENCE_S == 1.0


def test_a_name_that_a_shell_would_read_otherwise_is_not_inserted(
    service: Service, environment: dict[str, str]
):
    names = ["x-plain", "x-$(reboot)", "x-two words", "x-;ls", "x-*", "x-`ls`", "x-\n"]
    ids = [service.run({"CommandLine": "true", "Name": name})["ID"] for name in names]
    assert completed("jobrunner attach x-p", environment) == ["plain,x-plain"]
    offered = completed("jobrunner attach ", environment)
    assert {f"plain,{job_id}" for job_id in ids[1:]} <= set(offered)
    assert len(offered) <= 51
    service.client.post("/clean?state=all&name=x-*")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jobrunner co", ["completion", "context"]),
        ("jobrunner token ", ["create", "list", "revoke"]),
        ("jobrunner token create --sc", ["--scope"]),
        ("jobrunner token create --scope ", ["admin", "read", "run"]),
        ("jobrunner serve --work", ["--workers"]),
        ("jobrunner --conn", ["--connect-timeout"]),
        ("jobrunner attach --off", ["--offset"]),
        ("jobrunner context r", ["rm"]),
        ("jobrunner completion ", ["bash", "fish", "zsh"]),
        ("jobrunner 'context' \"u", ["use"]),
        ("jobrunner ps --state pe", ["pending"]),
        ("jobrunner ps --state exited,k", ["exited,killed"]),
        ("jobrunner ps --state=exited,k", ["exited,killed"]),
        ("jobrunner ps --reason l", ["lost"]),
        ("jobrunner ps -o j", ["json"]),
        ("jobrunner kill -s US", ["USR1", "USR2"]),
        ("jobrunner signal --signal SIGT", ["SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU"]),
        ("jobrunner no-such-command x", []),
    ],
)
def test_commands_verbs_and_options_are_known_without_a_service(
    environment: dict[str, str], line: str, expected: list[str]
):
    found = completed(line, environment | {"JOBRUNNER_URL": "unix:///none"})
    assert sorted(found) == [f"plain,{word}" for word in expected]


def test_the_words_of_a_job_are_left_to_the_shell(environment: dict[str, str]):
    assert completed("jobrunner run -- ", environment) == ["file,"]


def test_what_a_command_can_do_nothing_with_is_not_offered(
    service: Service, environment: dict[str, str]
):
    ended = service.run({"CommandLine": "true", "Name": "s-ended"})["ID"]
    live = service.submit({"CommandLine": "sleep 1000", "Name": "s-live"})
    offered = {
        verb: completed(f"jobrunner {verb} s-", environment)
        for verb in ("inspect", "wait", "kill", "signal", "clean", "rerun", "logs")
    }
    live_one, ended_one = "plain,s-live", "plain,s-ended"
    either = {verb: [live_one, ended_one] for verb in ("inspect", "wait", "rerun", "logs")}
    assert offered == {**either, "kill": [live_one], "signal": [live_one], "clean": [ended_one]}
    assert completed(f"jobrunner kill {live} s-", environment) == ["plain,s-live"]
    assert completed(f"jobrunner clean {ended[:9]}", environment) == [f"plain,{ended}"]
    service.kill(live, grace=0, wait=True)
    service.client.post("/clean?state=all&name=s-*")

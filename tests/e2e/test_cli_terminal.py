"""`jobrunner run -it` and `attach` at a real terminal: a job's terminal in it, left and taken up again."""

from __future__ import annotations

import os
import re
import signal
import termios
from collections.abc import Iterator
from typing import Any

import pexpect
import pytest
from command_line import CommandLine
from running import RELOADABLE, Service, running
from waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.once]

LEAVE = b"\x10\x11"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, workers=2, **RELOADABLE) as service:
        yield service


@pytest.fixture
def jobrunner(service: Service) -> CommandLine:
    return CommandLine(service.url, TERM="xterm")


def lines_of(terminal: Any) -> bool:
    """Whether its terminal gathers lines, and shows what is typed."""
    flags = termios.tcgetattr(terminal.fileno())
    return bool(flags[3] & termios.ICANON and flags[3] & termios.ECHO and flags[1] & termios.OPOST)


def ended(terminal: Any, status: int) -> None:
    terminal.expect(pexpect.EOF)
    assert lines_of(terminal)
    terminal.wait()
    assert terminal.exitstatus == status


def newest(service: Service) -> str:
    found = service.client.get("/?state=all&order=newest&limit=1").json()["IDs"]
    job_id: str = found[0]
    return job_id


def test_a_shell_has_the_size_of_here_from_its_first_line_and_its_exit_status(
    jobrunner: CommandLine,
) -> None:
    line = "stty size; echo $TERM; read -r word; echo got $word; exit 7"
    with jobrunner.at_terminal("run", "-it", "--", line) as terminal:
        terminal.expect_exact(b"24 80\r\nxterm\r\n")
        assert not lines_of(terminal)
        terminal.send(b"Gr\xc3\xbc\xc3\x9fe\r")
        terminal.expect_exact("Grüße\r\ngot Grüße\r\n".encode())
        ended(terminal, 7)


def test_ctrl_c_is_the_jobs_and_its_window_follows_this_one(jobrunner: CommandLine) -> None:
    line = (
        "trap 'stty size' WINCH; trap 'exit 6' INT; sleep 999 & echo ready; while :; do wait; done"
    )
    with jobrunner.at_terminal("run", "-it", "--", line) as terminal:
        terminal.expect_exact(b"ready")
        terminal.setwinsize(33, 111)
        terminal.expect_exact(b"33 111")
        terminal.send(b"\x03")
        ended(terminal, 6)


def test_one_leaves_and_goes_on_elsewhere(service: Service, jobrunner: CommandLine) -> None:
    with jobrunner.at_terminal(
        "run", "-it", "--", "echo up; while read -r x; do echo $x; done"
    ) as first:
        first.expect_exact(b"up\r\n")
        first.send(b"one\r")
        first.expect_exact(b"one\r\none\r\n")
        first.send(LEAVE)
        first.expect(rb"Detached; the job goes on: jobrunner attach --offset (\d+) (\S+)\r\n")
        assert first.match is not None
        offset, job_id = (found.decode() for found in first.match.groups())
        ended(first, 0)
    assert service.show(job_id)["State"] == "running"
    with jobrunner.at_terminal("attach", "--offset", offset, job_id) as second:
        until(lambda: not lines_of(second))
        second.send(b"two\r")
        second.expect_exact(b"two\r\ntwo\r\n")
        assert second.before == b""
        second.send(b"\x10p\r")  # a Ctrl-P is only that
        second.expect_exact(b"^Pp\r\n\x10p\r\n")
        second.send(b"\x04")
        ended(second, 0)
    # Another reads it, and has no keys.
    assert jobrunner("attach", job_id).stdout.startswith(b"up\r\none\r\none\r\n")


def test_the_keys_that_leave_are_a_choice(jobrunner: CommandLine) -> None:
    with jobrunner.at_terminal(
        "run", "-it", "--detach-keys", "ctrl-]", "--", "echo up; cat"
    ) as terminal:
        terminal.expect_exact(b"up\r\n")
        terminal.send(LEAVE + b"\r")
        terminal.expect_exact(b"^P\r\n")  # the job's terminal takes ^Q for itself
        terminal.send(b"\x1d")
        terminal.expect_exact(b"Detached")
        ended(terminal, 0)
    done = jobrunner("run", "-it", "--detach-keys", "nonsense", "--", "cat", status=2)
    assert b"ctrl-p,ctrl-q" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_this_terminal_is_as_before_whatever_ends_it(
    service: Service, jobrunner: CommandLine, number: signal.Signals
) -> None:
    with jobrunner.at_terminal("run", "-it", "--", "echo ready; cat") as terminal:
        terminal.expect_exact(b"ready")
        terminal.kill(number)
        ended(terminal, 0 if number == signal.SIGINT else 128 + number)
    job_id = newest(service)
    assert service.show(job_id)["State"] == "running"
    service.kill(job_id, grace=0)


def test_a_job_that_is_killed_or_cannot_start_leaves_it_as_before(
    service: Service, jobrunner: CommandLine
) -> None:
    with jobrunner.at_terminal("run", "-it", "--", "echo ready; cat") as terminal:
        terminal.expect_exact(b"ready")
        service.kill(newest(service), grace=0)
        ended(terminal, 137)
    with jobrunner.at_terminal("run", "-it", "-w", "/nonexistent", "--", "true") as terminal:
        ended(terminal, 125)


def test_without_a_terminal_here_a_job_with_one_gets_what_is_piped(jobrunner: CommandLine) -> None:
    done = jobrunner("run", "-it", "--", "stty size; read -r line; echo got $line", given=b"word\n")
    assert b"24 80\r\n" in done.stdout
    assert b"got word\r\n" in done.stdout
    done = jobrunner("run", "-t", "--", "[ -t 1 ] && [ -t 0 ] && echo yes")
    assert done.stdout == b"yes\r\n"


def test_nothing_typed_or_shown_is_lost_or_doubled_while_workers_die_and_reload(
    service: Service, jobrunner: CommandLine
) -> None:
    script = (
        "stty -echo; echo ready; for n in $(seq 60); do read -r x; echo got $n $x; done; exit 3"
    )
    with jobrunner.at_terminal("run", "-it", "--", script) as terminal:
        terminal.expect_exact(b"ready\r\n")
        shown = b""
        for n in range(1, 61):
            terminal.send(b"word-%d\r" % n)
            if n in (10, 30, 50):
                ready = len(service.worker_pids())
                if n == 30:
                    assert service.client.post("/restart-all").status_code == 200
                else:
                    for pid in service.worker_pids()[-2:]:
                        os.kill(pid, signal.SIGKILL)
                service.wait_for_line("worker_ready", ready + 2)
            if n % 10 == 0:
                terminal.expect_exact(b"got %d word-%d\r\n" % (n, n))
                shown += terminal.before + terminal.after
        ended(terminal, 3)
    assert re.findall(rb"got (\d+) word-(\d+)\r\n", shown) == [
        (b"%d" % n,) * 2 for n in range(1, 61)
    ]
    assert b"ready\r\n" + re.sub(rb"jobrunner: [^\n]*\n", b"", shown) == re.sub(
        rb"^(?!ready|got).*\n", b"", service.output(newest(service)), flags=re.MULTILINE
    )

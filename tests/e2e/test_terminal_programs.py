"""Programs for terminals do in a job's terminal what they do on a screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Service
from screens import Screen, screen_of

pytestmark = [pytest.mark.e2e, pytest.mark.once]

INTERRUPT, STOP, QUIT = "\x03", "\x1a", "\x1c"
# Without the settings of whoever runs the tests.
SHELL = {"Commands": [{"CommandLine": "PS1='$ ' exec bash --norc --noprofile -i"}]}


@pytest.fixture
def shell(service: Service) -> Iterator[Screen]:
    with screen_of(service, SHELL) as screen:
        screen.until(lambda s: s.text == "$")
        yield screen


def test_vim_writes_a_file_and_uses_the_whole_screen(service: Service):
    line = "vim -u NONE -i NONE -N hello.txt; cat hello.txt"
    with screen_of(service, line, Rows=30, Cols=90) as screen:
        screen.until(lambda s: s.text.count("\n~") == 28)
        screen.type("ihello, world\x1b")
        screen.until("hello, world")
        screen.resize(40, 100)
        screen.until(lambda s: s.text.count("\n~") == 38)
        screen.type(":wq\r")
        screen.until(lambda s: s.text.splitlines()[-1] == "hello, world")
        assert service.wait(screen.job_id)["ExitCode"] == 0


def test_less_pages_and_ends(service: Service):
    with screen_of(service, "seq 1000 | less; echo done", Rows=10) as screen:
        screen.until(lambda s: s.text == "\n".join([*map(str, range(1, 10)), ":"]))
        screen.type(" ")
        screen.until(lambda s: s.text.startswith("10\n"))
        screen.type("/77\n")
        screen.until(lambda s: s.text.startswith("77\n"))
        screen.type("q")
        screen.until("done")


def test_python_asks_answers_and_survives_an_interrupt(service: Service):
    with screen_of(service, "exec python3 -q -i") as screen:
        screen.until(">>>")
        screen.type("6 * 7\n")
        screen.until("\n42\n>>>")
        screen.type("import time; print('asleep'); time.sleep(600)\n")
        screen.until("\nasleep")
        screen.type(INTERRUPT)
        screen.until("KeyboardInterrupt\n>>>")
        screen.type("raise SystemExit(3)\n")
        assert service.wait(screen.job_id)["ExitCode"] == 3


def test_top_shows_processes_and_quits(service: Service):
    with screen_of(service, "top -d 600; echo done") as screen:
        screen.until("PID USER")
        screen.type("q")
        screen.until("done")


def test_a_password_is_asked_for_and_not_shown(service: Service):
    line = "read -rsp 'Password: ' p < /dev/tty; echo; [ $p = secret ] && echo right"
    with screen_of(service, line) as screen:
        screen.until("Password:")
        screen.type("secret\n")
        screen.until("right")
        service.wait(screen.job_id)
        assert b"secret" not in service.output(screen.job_id)


@pytest.mark.parametrize(
    ("key", "told"), [(INTERRUPT, "^C"), (QUIT, "^\\"), (STOP, "Stopped")], ids=["C", "\\", "Z"]
)
def test_keys_reach_the_foreground_and_the_shell_goes_on(shell: Screen, key: str, told: str):
    shell.type("echo up; sleep 600; echo over $?\n")
    shell.until("\nup")
    shell.type(key)
    shell.until(told)
    shell.until(lambda s: s.text.endswith("\n$"))
    shell.type("jobs -p | wc -l\n")
    shell.until(lambda s: s.text.splitlines()[-2] == ("1" if key == STOP else "0"))


def test_a_stopped_program_goes_on_in_the_foreground(shell: Screen):
    shell.type("cat\n")
    shell.type("one\n")
    shell.until("one\none")
    shell.type(STOP)
    shell.until("Stopped")
    shell.type("fg\n")
    shell.until(lambda s: s.text.endswith("\ncat"))
    shell.type("two\n")
    shell.until("two\ntwo")
    shell.type("", eof=True)
    shell.until(lambda s: s.text.endswith("\n$"))


def test_a_signal_to_the_foreground_passes_the_shell_by(service: Service, shell: Screen):
    shell.type("sh -c 'echo up; sleep 600'\n")
    shell.until("\nup")
    query = {"signal": "HUP", "to": "foreground"}
    answer = service.client.post(f"/{shell.job_id}/signal", params=query)
    assert answer.json()["Processes"] in (1, 2)
    shell.until("Hangup")
    shell.type("echo $((6*7))\n")
    shell.until("\n42")


def test_an_interactive_shell_ends_when_it_is_hung_up(service: Service, shell: Screen):
    service.kill(shell.job_id, signal="HUP", wait="true")
    view = service.show(shell.job_id)
    assert (view["State"], view["Kill"]["Escalated"]) == ("killed", False)


def test_backspace_takes_a_character_of_several_bytes_away(service: Service, tmp_path: Path):
    with screen_of(service, "read -r line; echo =$line=") as screen:
        screen.type("aü\x7fb\n")
        screen.until("=ab=")

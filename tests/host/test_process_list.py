"""Processes as an operator sees them, of real processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from service.host import process_list
from service.host.process_list import list_processes
from service.host.process_use import use_of

# Says that it runs, then reads until its standard input ends.
SAYS = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def child():
    """Starts processes that wait, by their arguments behind the code; each is ended."""
    started = []

    def start(*arguments, code=SAYS):
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        process.stdout.readline()
        return process.pid

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.communicate()


def identity(pid):
    return pid, use_of(pid).started


def only(pid):
    (found,) = list_processes([identity(pid)])
    return found


def test_a_process_is_shown_with_its_arguments_parent_state_and_memory(child):
    before = time.time_ns()
    found = only(child("a b", "c"))
    assert found.command == f"{sys.executable} -I -c {SAYS} a b c"
    assert found.parent == os.getpid()
    assert found.state in {"running", "sleeping"}  # it may not have come to its read yet
    assert found.memory_bytes > 1 << 20
    assert abs(found.started_at - before) < 300 * 10**9
    assert found.cpu_s >= 0


def test_a_stopped_process_is_shown_as_such(child):
    pid = child()
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    assert only(pid).state == "stopped"


def test_what_a_terminal_would_obey_is_escaped_and_a_long_command_is_cut(child):
    shown = only(child("\x1b[2J\n", os.fsdecode(b"\xff"), "x" * 5000)).command
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert "\\xff" in shown
    assert only(child("é" * 5000)).command.count("é") == 1000 - len(
        f"{sys.executable} -I -c {SAYS} "
    )


def test_a_process_whose_arguments_cannot_be_read_is_shown_by_its_name():
    assert process_list._command(2**22 + 1, b"gone") == "[gone]"


def test_one_that_is_gone_or_another_of_its_number_is_left_out(child):
    pid, started = identity(child())
    assert list_processes([(pid, started + 1)]) == []
    assert list_processes([(2**22 + 1, 1)]) == []
    zombie = subprocess.Popen(["/bin/true"])
    gone = (zombie.pid, use_of(zombie.pid).started)
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert list_processes([gone]) == []
    zombie.wait()


def test_the_busiest_are_first_and_the_others_are_cut_off(child, monkeypatch):
    idle = [child(), child()]
    # A start alone may take any time of the processor.
    more_s = max(use_of(pid).cpu_s for pid in idle) + 0.1
    busy = child(
        code=f"import sys, time\nwhile time.process_time() < {more_s}: pass\nprint(flush=True)\nsys.stdin.read()"
    )
    everything = [identity(pid) for pid in (*idle, busy)]
    assert list_processes(everything)[0].pid == busy
    monkeypatch.setattr(process_list, "MAX_LISTED", 1)
    assert [found.pid for found in list_processes(everything)] == [busy]

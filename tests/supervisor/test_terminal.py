"""A job with a terminal: it controls the command's session, is held across commands, and loses no output."""

import contextlib
import hashlib
import os
import random
import signal
from base64 import b64encode

import pytest

from service.supervisor.process.terminal import Terminal

SIZE = {"rows": 33, "cols": 99, "controls": True}


def run(client, job, line, *, terminal=SIZE, **options):
    """Its output, when all of it is in the log."""
    client.run(job, line, terminal=terminal, **options)
    finished = client.event(job, "finished")
    assert finished["output_complete"]
    return client.output(job).decode()


def test_the_size_is_right_in_the_first_line_and_the_terminal_is_that_of_the_session(client, job):
    line = """stty size
        [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo a terminal
        read -r _ _ _ _ _ session number foreground _ < /proc/$$/stat
        [ $session = $$ ] && [ $foreground = $$ ] && [ $number != 0 ] && echo controls
        echo by name > /dev/tty; echo error >&2; stat -c %a $(tty); ls /proc/self/fd | wc -w"""
    output = run(client, job, line)
    assert output.splitlines()[0] == "33 99"
    assert output.splitlines()[1:] == ["a terminal", "controls", "by name", "error", "600", "4"]


def test_what_is_written_last_is_not_lost_and_newlines_become_two_characters(client, job):
    output = run(client, job, "seq 40000; printf end")
    assert output == "".join(f"{n}\r\n" for n in range(1, 40001)) + "end"


def test_commands_of_a_sequence_share_it_with_its_modes_and_its_size(client, job):
    client.run(job, "stty -echo rows 50; tty", end_if="never", terminal=SIZE)
    client.event(job, "ended")
    client.start(job, "stty size; stty -a | grep -o -- '-echo '; tty", command=1, terminal=SIZE)
    assert client.event(job, "finished")["output_complete"]
    first, size, echo, last = client.output(job).decode().splitlines()
    assert (size, echo.strip()) == ("50 99", "-echo")
    assert first == last


def test_a_process_left_behind_holds_nothing_up_and_writes_into_the_next_command(client, job, fifo):
    held, ready = fifo(), fifo()
    line = f"(trap '' HUP; echo > {ready}; read < {held}; echo late) & read < {ready}; echo first"
    client.run(job, line, end_if="never", terminal=SIZE, drain_s=0)
    client.event(job, "ended")
    client.start(job, f"echo > {held}; wait; echo last", command=1, terminal=SIZE, drain_s=0.1)
    client.event(job, "finished")
    assert sorted(client.output(job).decode().split()) == ["first", "last", "late"]


def test_what_is_in_the_foreground_is_hung_up_when_the_command_ends(client, job, fifo):
    said, ready = fifo(), fifo()
    left = f"(trap 'echo hung up > {said}; exit' HUP; echo > {ready}; while :; do sleep 1; done) &"
    client.run(job, f"{left} read < {ready}", terminal=SIZE)
    assert said.line() == "hung up"
    client.event(job, "finished")


def resized(client, job, rows, cols):
    return client.request("resize", job=job, rows=rows, cols=cols)


def test_a_new_size_is_told_by_a_signal(client, job, fifo):
    said = fifo()
    line = f"trap 'stty size > {said}' WINCH; echo up > {said}; while :; do sleep 0.05; done"
    client.run(job, line, terminal=SIZE)
    assert said.line() == "up"
    assert resized(client, job, 40, 120)["ok"]
    assert said.line() == "40 120"


def test_a_size_that_comes_before_the_start_is_the_first_one(client, job):
    assert client.claim(job)
    assert resized(client, job, 7, 70)["ok"]
    client.start(job, "stty size", terminal=SIZE)
    client.event(job, "finished")
    assert client.output(job) == b"7 70\r\n"
    assert resized(client, job, 7, 70)["why"] == "ended"
    assert resized(client, "no-such-job", 7, 70)["why"] == "unknown_job"


def test_a_signal_to_the_foreground_passes_the_others_by(client, job, fifo):
    said = fifo()
    line = f"""trap 'echo shell > {said}' USR1; set -m
        sh -c 'trap "echo foreground > {said}; exit" USR1; echo up > {said}; while :; do sleep 0.05; done'
        echo next > {said}; read"""
    client.run(job, line, terminal=SIZE)
    assert said.line() == "up"
    reply = client.request("signal", job=job, signal=int(signal.SIGUSR1), foreground=True)
    assert reply["ok"]
    assert reply["processes"] in (1, 2)  # the shell, and its sleep
    assert [said.line(), said.line()] == ["foreground", "next"]


def test_without_a_terminal_nothing_is_in_the_foreground(client, job, fifo):
    said = fifo()
    client.run(job, f"echo up > {said}; exec sleep 600")
    said.line()
    reply = client.request("signal", job=job, signal=int(signal.SIGUSR1), foreground=True)
    assert reply["why"] == "no_foreground"


def test_a_program_may_take_the_terminal_by_itself(client, job):
    terminal = {**SIZE, "controls": False}
    # Not bash, which opens the terminal by its name, and so takes it.
    with_dash = {"argv": ["/bin/sh", "-c", "(: < /dev/tty) || echo none"]}
    assert run(client, job, "", terminal=terminal, **with_dash).endswith("none\r\n")
    taking = ["setsid", "--ctty", "sh", "-c", "(: < /dev/tty) && echo taken"]
    assert run(client, f"{job}-2", "", terminal=terminal, argv=taking) == "taken\r\n"


def test_a_terminal_goes_on_over_an_upgrade_in_place(start_supervisor, job, fifo):
    supervisor = start_supervisor("--cgroup", "off")
    client, said = supervisor.connect(), fifo()
    line = (
        f"trap 'stty size > {said}' WINCH; echo up > {said}; until [ -e done ]; do sleep 0.05; done"
    )
    client.run(job, f"{line}; echo last", end_if="never", terminal=SIZE)
    assert said.line() == "up"
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    client = supervisor.connect()
    assert resized(client, job, 40, 120)["ok"]
    assert said.line() == "40 120"
    assert type_in(client, job, b"typed\n")["offset"] == 6
    (client.state_dir / "jobs" / job / "work" / "done").touch()
    client.event(job, "ended")
    client.start(
        job, "stty size; readlink /proc/$PPID/fd/* | grep -c ptmx", command=1, terminal=SIZE
    )
    assert client.event(job, "finished")["output_complete"]
    assert client.output(job).decode().split() == ["typed", "last", "40", "120", "3"]


@pytest.fixture
def terminal():
    made = Terminal.open(24, 80, None)
    yield made
    made.close()


def test_the_end_of_input_is_one_character_at_the_beginning_of_a_line_and_two_within(terminal):
    for last, expected in ((b"", 1), (b"a\n", 1), (b"a", 2), (b"\x04", 1)):
        assert terminal.end_of_input(last) == b"\x04" * expected


def test_the_owner_of_a_terminal_is_its_user():
    if os.geteuid():
        pytest.skip("needs root")
    from service.host.identity import Identity

    made = Terminal.open(24, 80, Identity(12345, 12345))
    try:
        assert made.owner == 12345
        master, slave = made.ends()
        assert os.fstat(slave).st_mode & 0o777 == 0o600
        os.close(master)
        os.close(slave)
    finally:
        made.close()


def type_in(client, job, text, **options):
    return client.request("input", job=job, data=b64encode(text).decode(), **options)


def test_what_is_typed_is_read_and_shown_and_ends_with_its_character(client, job, fifo):
    said = fifo()
    client.run(job, f"echo up > {said}; sha256sum > {said}; cat > {said}", terminal=SIZE)
    assert said.line() == "up"
    assert type_in(client, job, b"one\n", offset=0)["offset"] == 4
    assert type_in(client, job, b"two", offset=3)["why"] == "offset"
    assert type_in(client, job, b"two", offset=4, end=True)["offset"] == 7  # in the midst of a line
    assert said.line().split()[0] == hashlib.sha256(b"one\ntwo").hexdigest()
    assert type_in(client, job, b"more\n", offset=7, end=True)["ok"]
    assert said.line() == "more"
    client.event(job, "finished")
    assert client.output(job) == b"one\r\ntwomore\r\n"
    assert type_in(client, job, b"late")["why"] == "ended"


def test_an_end_that_is_repeated_at_its_offset_is_typed_once(start_supervisor, job):
    supervisor = start_supervisor("--cgroup", "off")
    client = supervisor.connect()
    client.run(job, 'for n in 1 2 3; do echo "$n:$(cat)"; done', terminal=SIZE)
    client.event(job, "started")
    for _ in range(2):
        assert type_in(client, job, b"", offset=0, end=True)["offset"] == 0
    assert type_in(client, job, b"one\n", offset=0, end=True)["offset"] == 4
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    client = supervisor.connect()
    assert type_in(client, job, b"", offset=4, end=True)["offset"] == 4
    assert type_in(client, job, b"", end=True)["offset"] == 4  # another one
    client.event(job, "finished")
    shown = client.output(job).decode().split()
    assert sorted(shown) == ["1:", "2:one", "3:", "one"]


def test_what_is_typed_between_two_commands_is_for_the_next_one(client, job):
    client.run(job, "true", end_if="never", terminal=SIZE)
    client.event(job, "ended")
    assert type_in(client, job, b"ahead\n")["ok"]
    client.start(job, "read line; echo got $line", command=1, terminal=SIZE)
    client.event(job, "finished")
    assert client.output(job) == b"ahead\r\ngot ahead\r\n"


def test_who_types_faster_than_the_job_reads_waits(client, job, fifo):
    gate = fifo()
    data = random.Random(1).randbytes(300_000)
    ready = "stty raw -echo; echo ready"
    client.run(job, f"{ready}; read < {gate}; head -c {len(data)} | sha256sum", terminal=SIZE)
    while b"ready" not in output_so_far(client, job):
        client.sync()
    pieces = [data[at : at + 50_000] for at in range(0, len(data), 50_000)]
    for number, piece in enumerate(pieces):
        text = b64encode(piece).decode()
        client.send("input", job=job, request_id=10**6 + number, offset=number * 50_000, data=text)
    last = 10**6 + len(pieces) - 1
    assert last not in [m.get("request_id") for m in client.sync() if m.get("ok")]
    gate.go()
    for number, piece in enumerate(pieces):
        reply = client.expect("reply", request_id=10**6 + number)
        while not reply["ok"]:
            assert reply["why"] in ("no_room", "offset")
            reply = type_in(client, job, piece, offset=number * 50_000)
    client.event(job, "finished")
    assert client.output(job).split()[1].decode() == hashlib.sha256(data).hexdigest()


def output_so_far(client, job):
    with contextlib.suppress(FileNotFoundError):
        return client.output(job)
    return b""


def test_a_terminal_knows_the_number_of_its_device(terminal):
    master, slave = terminal.ends()
    try:
        assert (os.ttyname(slave), os.fstat(slave).st_rdev) == (terminal.path, terminal.device)
    finally:
        os.close(master)
        os.close(slave)

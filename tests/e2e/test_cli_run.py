"""`jobrunner run` and `attach`: as the command itself would behave here, whatever breaks between."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pexpect
import pytest
from command_line import CommandLine, hang_up
from gates import Gate, lines
from running import Service, again, running

from service.access import tokens
from service.access.scopes import Scope

pytestmark = pytest.mark.e2e
WORKERS = 2

# Every byte there is, on both streams, with no newline at the end.
BYTES = bytes(range(256)) * 1000
NOISY = "cat {path}; cat {path} >&2; exit 7"
FLOOD = "seq 1 100000; read -r _ < {gate}; seq 100001 200000; seq 1 9 >&2; exit 5"
FLOODED = b"".join(b"%d\n" % n for n in range(1, 200_001))
# Says what came, and lives on.
DEAF = "trap 'echo got INT' INT; echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def cli(service: Service) -> CommandLine:
    return CommandLine(service.url)


def test_both_streams_come_out_byte_for_byte_and_the_exit_code_is_the_jobs(
    cli: CommandLine, tmp_path: Path
):
    path = tmp_path / "bytes"
    path.write_bytes(BYTES)
    done = cli("run", "--", "sh", "-c", NOISY.format(path=path), status=7)
    assert done.stdout == BYTES
    assert done.stderr == BYTES


def test_words_are_one_command_and_a_single_argument_is_a_line(cli: CommandLine):
    assert cli("run", "--", "printf", "%s|", "a b", "*", "$HOME", "'").stdout == b"a b|*|$HOME|'|"
    assert cli("run", "echo a; echo b | tr b c").stdout == b"a\nc\n"
    assert cli("run", "echo", "-n", "x").stdout == b"x"  # options behind it are its own


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("kill -9 $$",), 137, rb""),
        (("kill -TERM $$",), 143, rb""),
        (("--timeout", "1s", "--grace", "0", "sleep 1000"), 124, rb"jobrunner: .*Timeout\.\n"),
        (("--idle-timeout", "1", "sleep 1000"), 124, rb"jobrunner: .*IdleTimeout\.\n"),
        (("-w", "/no/such", "true"), 125, rb"jobrunner: .*/no/such.*\n"),
        (("no-such-program",), 127, rb".*not found.*\n"),
        (("--name", "", "true"), 125, rb"jobrunner: /Name: .*\n"),
        (("--timeout", "soon", "true"), 2, rb"jobrunner: .*90s.*'soon'.*\n"),
        (("--label", "x", "true"), 2, rb"jobrunner: .*K=V.*'x'.*\n"),
        (("--env", "NOT_SET_HERE", "true"), 2, rb"jobrunner: .*NOT_SET_HERE isn't set here.*\n"),
        ((), 2, rb"jobrunner: Expected a command or --file, got neither.*\n"),
        (("--url", "ftp://x", "true"), 2, rb"jobrunner: Expected an URL such as .*\n"),
    ],
)
def test_what_ended_it_is_told_by_the_status(cli: CommandLine, arguments, status, said):
    done = cli("run", *arguments, status=status)
    assert re.fullmatch(said, done.stderr)
    assert done.stdout == b""


def test_without_a_service_one_line_says_what_to_do(tmp_path: Path):
    nobody = CommandLine(f"unix://{tmp_path}/none", XDG_CONFIG_HOME=str(tmp_path))
    done = nobody("--connect-timeout", "0.2", "run", "true", status=125)
    assert done.stdout == b""
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"jobrunner: No service answers at unix://")
    assert b"`jobrunner serve`" in line
    assert b"JOBRUNNER_URL" in line


def test_options_make_the_job(cli: CommandLine, service: Service, tmp_path: Path):
    own = CommandLine(service.url, PASSED="from here")
    options = ["-n", "made", "-l", "a=1", "-l", "b=x=y", "-e", "PASSED", "-e", "SET=a=b"]
    options += ["-w", str(tmp_path), "--timeout", "2h", "--grace", "3", "--priority", "0"]
    done = own("run", *options, "pwd; echo $PASSED; echo $SET")
    assert done.stdout.decode() == f"{tmp_path}\nfrom here\na=b\n"
    job_id = own("run", "-d", *options, "true").stdout.decode().strip()
    view = service.wait(job_id)
    assert (view["Name"], view["Labels"]) == ("made", {"a": "1", "b": "x=y"})
    assert (view["Timeout"], view["Grace"]) == (7200, 3)


def test_a_file_has_a_whole_job_and_options_win(cli: CommandLine, tmp_path: Path):
    path = tmp_path / "job.json"
    path.write_text(
        '{"Name": "n", "Commands": [{"CommandLine": "echo $X"}, {"CommandLine": "exit 3"}]}'
    )
    assert cli("run", "-f", str(path), "-e", "X=1", status=3).stdout == b"1\n"
    assert cli("run", "-f", "-", given=b'{"CommandLine": "echo 2"}').stdout == b"2\n"
    assert b"Expected an object in JSON" in cli("run", "-f", "-", given=b"{", status=2).stderr
    assert b"Expected an object" in cli("run", "-f", "-", given=b"[1]", status=2).stderr
    assert b"got both" in cli("run", "-f", str(path), "true", status=2).stderr


def test_the_same_key_is_the_same_job_from_its_first_byte_after_its_client_was_killed(
    cli: CommandLine, service: Service, gate: Gate
):
    line = FLOOD.format(gate=gate)
    with cli.started("run", "--key", "one", line) as first:
        assert first.stdout is not None
        assert first.stdout.read(6) == b"1\n2\n3\n"
        first.kill()
        first.wait()
    with cli.started("run", "--key", "one", line) as second:
        gate.open()
        out, err = second.communicate(timeout=100)
    assert (out, second.returncode) == (FLOODED, 5)
    assert err == b"".join(b"%d\n" % n for n in range(1, 10))
    with_offset = cli("run", "--key", "one", "--offset", str(len(FLOODED)), line, status=5)
    assert (with_offset.stdout, with_offset.stderr) == (b"", err)


def test_a_closed_terminal_ends_the_client_alone(cli: CommandLine, service: Service, gate: Gate):
    with cli.at_terminal(
        "run", "-n", "lid", f"echo ready; read -r x < {gate}; echo $x"
    ) as terminal:
        terminal.expect("ready")
        hang_up(terminal)
        assert terminal.signalstatus == signal.SIGHUP
    gate.open()
    assert cli("attach", "lid").stdout.splitlines()[0] == b"ready"


def test_a_token_that_is_revoked_is_told_and_is_no_end_of_the_job(state_dir: Path, gate: Gate):
    with running(state_dir) as service:
        ann, bob = (
            tokens.create(state_dir, name, {Scope.RUN, Scope.READ}, principal="ann")[1]
            for name in ("ann", "bob")
        )
        cli = CommandLine(service.url, JOBRUNNER_TOKEN=ann)
        line = f"echo ready; read -r _ < {gate}; exit 3"
        with (
            cli.started("run", "-n", "long", line) as run,
            cli.at_terminal("run", "-it", "--", "echo ready; exec cat") as terminal,
        ):
            assert run.stdout.readline() == b"ready\n"
            terminal.expect("ready")
            with cli.started("attach", "long") as attach:
                assert attach.stdout.readline() == b"ready\n"
                tokens.revoke(state_dir, "ann")
                for process, hint in ((run, b"The job goes on"), (attach, b"To go on")):
                    to_go_on, why = process.stderr.read().splitlines()
                    assert to_go_on.startswith(
                        b"jobrunner: %b: jobrunner attach --offset 6 " % hint
                    )
                    assert b"token" in why
                    assert b"`jobrunner login URL`" in why
                    assert process.wait() == 125
                terminal.expect(r"jobrunner: To go on: jobrunner attach --offset \d+ \S+")
                terminal.expect("`jobrunner login URL`")
                terminal.expect(pexpect.EOF)
                terminal.close()
                assert terminal.exitstatus == 125
        gate.open()
        again_let_in = CommandLine(service.url, JOBRUNNER_TOKEN=bob)
        assert again_let_in("attach", "long", status=3).stdout == b"ready\n"


def test_who_reads_no_more_leaves_the_job_alone(cli: CommandLine, gate: Gate):
    line = f"seq 1 100000; read -r _ < {gate}; echo last"
    with cli.started("run", "-n", "piped", line) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait() == 128 + signal.SIGPIPE
    assert re.fullmatch(rb"jobrunner: The job goes on: jobrunner attach --offset \d+ \S+\n", said)
    gate.open()
    assert cli("attach", "piped").stdout.endswith(b"100000\nlast\n")


def test_ctrl_c_is_the_jobs_and_typed_twice_it_kills(cli: CommandLine, service: Service):
    with cli.at_terminal("run", "-n", "deaf", DEAF) as terminal:
        terminal.expect("ready\r\n")
        terminal.sendintr()
        terminal.expect(r"jobrunner: INT was sent to the job; Ctrl-C again kills it\.")
        terminal.expect("got INT")
        terminal.sendintr()
        terminal.expect(r"jobrunner: The job \S+ was killed: .*KILL sent.*all seen gone\.")
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 128 + signal.SIGKILL
    assert cli("attach", "deaf", status=137).stdout == b"ready\ngot INT\n"


def test_a_storm_of_ctrl_c_leaves_no_job_behind_that_was_not_killed(
    cli: CommandLine, service: Service
):
    with cli.at_terminal("run", "-n", "stormy", DEAF) as terminal:
        terminal.expect("ready\r\n")
        while terminal.isalive():
            terminal.kill(signal.SIGINT)
        # The job's own status, when the kill that the second asks for is faster than the third.
        ends = (128 + signal.SIGINT, 128 + signal.SIGKILL)
        assert terminal.exitstatus in ends or terminal.signalstatus == signal.SIGINT
        assert b"Traceback" not in terminal.read()
    view = service.wait(view_of(service, "stormy")["ID"])
    assert (view["State"], view["Reason"]) == ("killed", "requested")


def test_a_job_that_dies_of_ctrl_c_gives_130(cli: CommandLine):
    with cli.at_terminal("run", "echo ready; sleep 1000") as terminal:
        terminal.expect("ready\r\n")
        terminal.sendintr()
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 128 + signal.SIGINT


def test_ctrl_c_is_no_kill_and_a_pending_job_is_killed_by_it(tmp_path: Path):
    with running(tmp_path / "s", environment={"JOBRUNNER_MAX_RUNNING": "1"}) as service:
        cli = CommandLine(service.url)
        line = "trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.1; done"
        with cli.at_terminal("run", "-n", "traps", line) as first:
            first.expect("ready\r\n")
            with cli.at_terminal("run", "-n", "waits", "true") as second:
                ids_of(service, "waits")
                second.sendintr()
                second.expect(pexpect.EOF)
                second.wait()
                assert second.exitstatus == 128 + signal.SIGTERM
            first.sendintr()
            first.expect("got\r\n")
            first.expect(pexpect.EOF)
            first.wait()
            assert first.exitstatus == 9
        traps, waits = (view_of(service, name) for name in ("traps", "waits"))
        assert (traps["State"], traps["Kill"]) == ("exited", None)
        assert (waits["State"], waits["Reason"]) == ("killed", "requested")


def test_ctrl_c_only_detaches_from_attach_and_says_how_to_go_on(
    cli: CommandLine, service: Service, gate: Gate
):
    job_id = service.submit(f"echo ready; read -r _ < {gate}; echo more; exit 4")
    with cli.at_terminal("attach", job_id) as terminal:
        terminal.expect("ready\r\n")
        terminal.sendintr()
        terminal.expect(r"jobrunner: Detached\. To go on: (jobrunner attach --offset \d+ \S+)\r\n")
        assert terminal.match is not None
        _, *go_on = terminal.match[1].decode().split()
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 130
    gate.open()
    assert cli(*go_on, status=4).stdout == b"more\n"


def test_no_escape_sequence_is_made_here(cli: CommandLine):
    with cli.at_terminal("run", "printf 'a\\033[1mb\\n'") as terminal:
        terminal.expect(pexpect.EOF)
        assert terminal.before == b"a\x1b[1mb\r\n"


@pytest.mark.parametrize(
    ("closed", "out", "err"),
    [("2>&-", b"out\n", b""), (">&-", b"", b"err\n"), ("<&- >&- 2>&-", b"", b"")],
)
def test_a_closed_descriptor_takes_nothing_from_the_others(cli: CommandLine, closed, out, err):
    line = shlex.join([*cli.command, "run", "echo out; echo err >&2; exit 3"])
    done = subprocess.run(
        ["bash", "-c", f"{line} {closed}"],
        env=cli.environment,
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, out, err)


def test_a_full_disk_here_says_how_to_go_on(cli: CommandLine):
    with open("/dev/full", "wb") as full, cli.started("run", "echo out", stdout=full) as process:
        _, err = process.communicate(timeout=100)
    assert process.returncode == 125
    assert re.match(rb"jobrunner: The job goes on: jobrunner attach --offset 0 \S+\n", err)
    assert cli("run", "-w", "/no/such", "true", status=125).stdout == b""


def test_ctrl_c_reaches_a_job_whose_output_nobody_takes(cli: CommandLine):
    line = "trap 'exit 9' INT; seq 1 200000; while :; do sleep 0.1; done"
    with cli.started("run", line, bufsize=0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(2)  # it writes, and the pipe is full soon
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith(b"jobrunner: INT was sent")
        rest, _ = process.communicate(timeout=100)
    assert process.returncode == 9
    assert (b"1\n" + rest) == b"".join(b"%d\n" % n for n in range(1, 200_001))[: len(rest) + 2]


MAKEFILE = """
all:
\t{run} sh -c 'seq 1 50000; read -r _ < {first}; seq 50001 100000; seq 1 9 >&2; read -r _ < {second}; exit 7' >{out} 2>{err}
"""


@pytest.mark.slow
def test_make_sees_a_command_whatever_happens_between(tmp_path: Path):
    """All workers are killed, the service is restarted, and its port is closed for a while."""
    first, second = Gate(tmp_path / "first"), Gate(tmp_path / "second")
    out, err = tmp_path / "out", tmp_path / "err"
    with running(tmp_path / "s", workers=2, environment={"JOBRUNNER_SHUTDOWN": "leave"}) as service:
        cli = CommandLine(service.url)
        run = " ".join([*cli.command, "run", "-n", "made", "--"])
        (tmp_path / "Makefile").write_text(
            MAKEFILE.format(run=run, first=first, second=second, out=out, err=err)
        )
        make = subprocess.Popen(
            ["make", "-C", str(tmp_path)],
            env=cli.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        (job_id,) = ids_of(service, "made")
        lines(service, job_id, 50_000)
        for pid in service.worker_pids():
            os.kill(pid, signal.SIGKILL)
        service.wait_for_line("worker_ready", 4)
        first.open()
        lines(service, job_id, 100_000)
        assert service.stop() == 0
        threading.Event().wait(10)  # what is tested: nobody listens for ten seconds
        with again(service):
            second.open()
            said, _ = make.communicate(timeout=200)
    first.close()
    second.close()
    numbers = b"".join(b"%d\n" % n for n in range(1, 100_001))
    assert out.read_bytes() == numbers
    assert err.read_bytes().startswith(b"".join(b"%d\n" % n for n in range(1, 10)))
    assert b"Error 7" in said
    assert make.returncode == 2


def ids_of(service: Service, name: str) -> list[str]:
    """Those of this name, once there is one."""
    with service.client.stream("GET", "/events", params={"follow": "true"}) as answer:
        lines = answer.iter_lines()
        while f'"Name":"{name}"' not in next(lines):
            pass
    found: list[str] = service.client.get("/", params={"name": name, "state": "all"}).json()["IDs"]
    return found


def view_of(service: Service, name: str) -> dict[str, Any]:
    (job_id,) = service.client.get("/", params={"name": name, "state": "all"}).json()["IDs"]
    return service.wait(job_id)


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["run", b"echo \xff"], b"", b"UTF-8"),
        (["run", "-e", b"X=\xff", "true"], b"", b"UTF-8"),
        (["attach", b"\xff"], b"", b"UTF-8"),
        (["run", "-f", "-"], rb'{"CommandLine": "echo \ud800"}', b"UTF-8"),
        (
            ["run", "-f", "-", "-l", "a=b"],
            b'{"CommandLine": "true", "Labels": 1}',
            b"Labels, got 1",
        ),
        (["run", "-f", "-"], b'{"CommandLine": "true", "Timeout": NaN}', b"NaN is no JSON"),
        (["run", "-f", "-"], b"[" * 200_000, b"Expected an object in JSON"),
        (["run", "--key", "", "true"], b"", b"255 characters"),
        (["run", "--key", "a\nb", "true"], b"", b"255 characters"),
        (["run", "--key", "é", "true"], b"", b"255 characters"),
        (["--url", "http://localhost:abc", "ps"], b"", b"'http://localhost:abc'"),
        (["--url", "http://localhost:99999", "ps"], b"", b"out of range"),
        (["--url", "http://a\tb", "ps"], b"", b"Expected an URL"),
        (["--url", "http://a..b", "ps"], b"", b"Expected an URL"),
        (["--connect-timeout", "nan", "ps"], b"", b"'nan'"),
        (["--connect-timeout", "inf", "ps"], b"", b"'inf'"),
    ],
)
def test_what_is_no_job_no_key_and_no_url_is_one_line(service: Service, arguments, given, said):
    before = service.client.get("/", params={"state": "all", "limit": 1}).json()["Total"]
    done = CommandLine(service.url)(*arguments, given=given, status=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"jobrunner: ")
    assert said in line
    after = service.client.get("/", params={"state": "all", "limit": 1}).json()["Total"]
    assert (done.stdout, after) == (b"", before)


def test_a_token_that_is_none_is_not_shown(service: Service, tmp_path: Path):
    binary = tmp_path / "token"
    binary.write_bytes(b"jr_\xff\xfe")
    for variables in ({"JOBRUNNER_TOKEN": "jr_a\nsecret"}, {"JOBRUNNER_TOKEN_FILE": f"{binary}"}):
        done = CommandLine(service.url, **variables)("ps", status=2)
        (line,) = done.stderr.splitlines()
        assert line.startswith(
            b"jobrunner: Expected a token of visible ASCII characters, in JOBRUNNER"
        )
        assert b"secret" not in line

"""`jobrunner logs` and `events`: output and changes, those that there are and those that come."""

from __future__ import annotations

import json
import re
import shlex
import signal
from typing import Any

import pexpect
import pytest
from command_line import CommandLine
from gates import Gate, lines
from running import Service

pytestmark = pytest.mark.e2e
WORKERS = 2

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


@pytest.fixture
def cli(service: Service) -> CommandLine:
    return CommandLine(service.url)


@pytest.fixture(scope="module")
def mixed(service: Service) -> str:
    """A finished job of two commands, both streams, bytes that are no text and no last newline."""
    commands = [
        {"CommandLine": "seq 1 5; printf 'Error\\n' >&2"},
        {"CommandLine": "printf 'x\\377y\\nerror: z' "},
    ]
    job_id = service.submit({"Commands": commands, "Name": "mixed"})
    service.wait(job_id)
    return job_id


NUMBERS = b"1\n2\n3\n4\n5\n"


def test_logs_are_what_there_is_byte_for_byte_and_apart(cli: CommandLine, mixed: str):
    done = cli("logs", mixed)
    assert done.stdout == NUMBERS + b"x\xffy\nerror: z"
    assert done.stderr == b"Error\n"
    failed = cli("run", "-d", "exit 3").stdout.decode().strip()
    cli("wait", failed, status=3)
    assert cli("logs", "-f", failed).stdout == b""  # a status of its own


@pytest.mark.parametrize(
    ("options", "out", "err"),
    [
        (("--tail", "1"), b"error: z", b""),
        (("--tail", "3"), b"x\xffy\nerror: z", b"Error\n"),
        (("--tail", "0"), b"", b""),
        (("--command", "1"), b"x\xffy\nerror: z", b""),
        (("--command", "0", "--stream", "stdout"), NUMBERS, b""),
        (("--stream", "stderr"), b"", b"Error\n"),
        (("--since", "1h", "--until", "2020-01-01T00:00:00Z"), b"", b""),
        (("--since", "1h", "--stream", "stderr"), b"", b"Error\n"),
        (("--offset", "4", "--command", "0"), b"3\n4\n5\n", b"Error\n"),
        (("--lines", "2:4"), b"2\n3\n4\n", b""),
        (("--lines", ":1"), b"1\n", b""),
        (("--lines", "3"), b"3\n", b""),
        (("--lines", "-2"), b"x\xffy\nerror: z", b""),
        (("--lines", "1:9", "--stream", "stderr"), b"", b"Error\n"),
        (("--lines", "100:"), b"", b""),
        (("--grep", "[24]"), b"2\n4\n", b""),
        (("--grep", "error"), b"error: z\n", b""),
        (("--grep", "ERROR", "-i"), b"error: z\n", b"Error\n"),
        (("--grep", "[0-9]", "-v", "--stream", "stdout"), b"x\xffy\nerror: z\n", b""),
        (("--grep", "[15]", "-C", "1", "--stream", "stdout"), b"1\n2\n--\n4\n5\nx\xffy\n", b""),
        (("--grep", ".", "-m", "2"), b"1\n2\n", b""),
        (("--grep", "1", "--tail", "2"), b"", b""),
    ],
)
def test_a_part_of_the_output(cli: CommandLine, mixed: str, options, out, err):
    if "2020-01-01T00:00:00Z" in options:
        assert b"jobrunner: " in cli("logs", mixed, *options, status=2).stderr
        return
    done = cli("logs", mixed, *options)
    assert (done.stdout, done.stderr) == (out, err)


def test_timestamps_stand_before_each_line(cli: CommandLine, mixed: str):
    done = cli("logs", "-t", "mixed")
    pattern = "".join(
        f"{STAMP} {text}" for text in ["1\n", "2\n", "3\n", "4\n", "5\n", "x\udcffy\n"]
    )
    text = done.stdout.decode(errors="surrogateescape")
    assert re.fullmatch(f"{pattern}{STAMP} error: z", text)
    assert re.fullmatch(rf"{STAMP} Error\n", done.stderr.decode())
    found = cli("logs", "-t", "--grep", "z", "mixed").stdout.decode()
    assert re.fullmatch(rf"{STAMP} error: z\n", found)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "Expected a JOB, or options that select jobs, got neither"),
        (("x", "-l", "a=b"), 2, "got both"),
        (("-l", "a=b", "--tail", "1"), 2, "--tail is for one JOB"),
        (("x", "--after", "c"), 2, "--after is for many jobs"),
        (("x", "--tail", "1", "--offset", "1"), 2, "--offset and --tail"),
        (("x", "-i"), 2, "--ignore-case goes with --grep"),
        (("x", "-f", "--grep", "y"), 2, "jobrunner logs -f JOB | grep"),
        (("mixed", "--grep", "("), 2, "grep"),
        (("mixed", "--since", "soon"), 2, "'soon'"),
        (("-l", "ab"), 2, "'ab'"),
        (("nobody",), 125, "'nobody'"),
    ],
)
def test_what_is_wrong_is_one_line(cli: CommandLine, mixed: str, arguments, status, said):
    done = cli("logs", *arguments, status=status)
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("jobrunner: ")
    assert said in line
    assert done.stdout == b""


def detached(terminal: pexpect.spawn[bytes], said: str) -> list[str]:
    """The words of the command that goes on."""
    terminal.sendintr()
    terminal.expect(rf"jobrunner: {said} jobrunner ([^\r]*)\r\n")
    assert terminal.match is not None
    words = shlex.split(terminal.match[1].decode())
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 128 + signal.SIGINT
    return words


def test_ctrl_c_detaches_at_the_byte_and_says_how_to_go_on(
    cli: CommandLine, service: Service, gate: Gate
):
    job_id = service.submit(f"echo no; echo ready; read -r _ < {gate}; echo later; exit 3")
    lines(service, job_id, 2)
    narrow = CommandLine(service.url, COLUMNS="400")
    with narrow.at_terminal("logs", "-f", "-t", "--tail", "1", job_id) as terminal:
        terminal.expect(rf"{STAMP} ready\r\n")
        go_on = detached(terminal, r"Detached\. To go on:")
    assert go_on == ["logs", "-f", "-t", "--offset", "9", job_id]
    with narrow.at_terminal("logs", "-f", "--command", "0", job_id) as terminal:
        terminal.expect("ready\r\n")
        gate.open()
        terminal.expect("later\r\n")
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 0
    assert re.fullmatch(rf"{STAMP} later\n", cli(*go_on).stdout.decode())


def test_many_jobs_are_told_apart_and_later_ones_join(
    cli: CommandLine, service: Service, gate: Gate
):
    def labelled(command: str, **members: Any) -> str:
        return service.submit({"CommandLine": command, "Labels": {"of": "many"}, **members})

    first = labelled(f"echo a; echo b >&2; read -r _ < {gate}; echo c", Name="first")
    lines(service, first, 2)
    own = CommandLine(service.url, COLUMNS="400", TERM="xterm")
    with own.at_terminal("logs", "-f", "-l", "of=many") as terminal:
        terminal.expect(rb"\x1b\[36mfirst\x1b\[0m \| a\r\n")
        terminal.expect(rb"first\x1b\[0m \| b\r\n")
        second = labelled("printf 'x\\ny'")
        terminal.expect(rb"\x1b\[33m" + second[:8].encode() + rb"\x1b\[0m \| x\r\n")
        terminal.expect(second[:8].encode() + rb"\x1b\[0m \| y\r\n")
        third = labelled("echo same", Name="first")
        terminal.expect(b"first " + third[:8].encode() + rb"\x1b\[0m \| same\r\n")
        service.wait(third)
        go_on = detached(terminal, r".*Detached\. To go on:")
    assert go_on[:5] == ["logs", "-f", "-l", "of=many", "--after"]
    gate.open()
    service.wait(first)
    assert b"first | c\n" in cli(*(word for word in go_on if word != "-f")).stdout
    everything = cli("logs", "-l", "of=many", "-t")
    told = re.sub(STAMP, "T", everything.stdout.decode()).splitlines()
    assert {f"{second[:8]} | T x", f"{second[:8]} | T y"} <= set(told)
    assert "first | T c" in told
    assert re.sub(STAMP, "T", everything.stderr.decode()) == "first | T b\n"


def test_who_reads_no_more_ends_it_quietly(cli: CommandLine, service: Service):
    job_id = service.submit("seq 1 200000")
    service.wait(job_id)
    with cli.started("logs", job_id) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"1\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE


def test_events_are_a_table_json_lines_or_names(cli: CommandLine, service: Service, mixed: str):
    cleaned = service.submit("true")
    service.wait(cleaned)
    service.client.post(f"/{cleaned}/clean").raise_for_status()
    records = [json.loads(line) for line in cli("events", "-o", "json").stdout.splitlines()]
    by_id = {record["ID"]: record for record in records}
    assert by_id[cleaned] == {"Seq": records[-1]["Seq"], "ID": cleaned, "Cleaned": True}
    seq = by_id[mixed].pop("Seq")
    assert by_id[mixed] == service.show(mixed)
    head, *rows = cli("events").stdout.decode().splitlines()
    assert head.split() == ["SEQ", "ID", "NAME", "STATE", "COMMAND"]
    assert f"{seq:<8}  {mixed[:8]}  mixed           exited 0              seq 1 5; printf '" in (
        "".join(row[: len(head) + 15] for row in rows)
    )
    assert rows[-1].split()[1:] == [cleaned[:8], "-", "cleaned", "-"]
    assert max(map(len, rows)) <= 80
    words = cli("events", "-o", "name", "--after", f"{seq - 1}").stdout.decode().splitlines()
    assert (words[0], words[-1]) == ("mixed", cleaned)
    assert cli("events", "-q", "--after", f"{records[-1]['Seq']}").stdout == b""
    assert b"jobrunner: " in cli("events", "--after", "1000000", status=2).stderr


def test_events_go_on_with_what_comes(cli: CommandLine, service: Service, mixed: str):
    seqs = [json.loads(line)["Seq"] for line in cli("events", "-o", "json").stdout.splitlines()]
    with cli.at_terminal("events", "-f", "-o", "name", "--after", f"{seqs[-1]}") as terminal:
        service.wait(service.submit({"CommandLine": "true", "Name": "came"}))
        terminal.expect("came\r\n")
        go_on = detached(terminal, "To go on:")
    assert go_on[:3] == ["events", "-f", "--after"]
    assert int(go_on[3]) > seqs[-1]


def test_rerun_is_a_new_job_with_changes_that_is_watched(cli: CommandLine, service: Service):
    spec = {
        "CommandLine": "echo $A $B; exit ${C:-4}",
        "Environment": {"A": "secret"},
        "Name": "old",
    }
    old = service.submit(spec)
    assert service.wait(old)["ExitCode"] == 4
    again = cli("rerun", old, "-e", "B=more", "-n", "new", "-l", "of=rerun", status=4)
    assert (again.stdout, again.stderr) == (b"secret more\n", b"")
    patch = json.dumps({"Environment": {"A": None, "C": "5"}, "Timeout": 100})
    new = cli("rerun", "-d", "new", "--patch", patch).stdout.decode().strip()
    view = service.wait(new)
    assert (view["ExitCode"], view["Name"], view["Timeout"]) == (5, "new", 100)
    assert view["Labels"] == {"of": "rerun"}
    assert service.output(new) == b"more\n"
    keyed = [cli("rerun", "-d", "--key", "k1", old).stdout for _ in range(2)]
    assert keyed[0] == keyed[1]
    for wrong, said in (("{", b"Expected an object in JSON"), ("[1]", b"Expected an object")):
        assert said in cli("rerun", old, "--patch", wrong, status=2).stderr
    assert cli("rerun", old, "--patch", '{"Nmae": 1}', status=125).stderr.startswith(
        b"jobrunner: /Nmae"
    )
    assert b"'nobody'" in cli("rerun", "nobody", status=125).stderr


def test_a_signal_is_no_kill(cli: CommandLine, service: Service):
    catching = "trap 'echo got; exit 6' HUP; echo ready; while :; do sleep 0.1; done"
    job_id = service.submit(catching)
    lines(service, job_id, 1)
    done = cli("signal", "-s", "hup", job_id)
    assert re.fullmatch(rf"The job {job_id}: HUP sent to \d process(es)?\.\n", done.stdout.decode())
    view = service.wait(job_id)
    assert (view["State"], view["ExitCode"], view["Kill"]) == ("exited", 6, None)
    late = cli("signal", job_id, "nobody", status=125)
    first, second = late.stderr.decode().splitlines()
    assert first.startswith("jobrunner: ")
    assert job_id in first
    assert "'nobody'" in second
    assert late.stdout == b""

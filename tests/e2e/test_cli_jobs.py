"""`jobrunner ps`, `inspect`, `wait`, `kill` and `clean`, as people and scripts use them."""

from __future__ import annotations

import json
import re
import signal
from itertools import pairwise

import pexpect
import pytest
from command_line import CommandLine
from gates import Gate, lines
from running import Service

pytestmark = pytest.mark.e2e

DEAF = "trap '' TERM INT; echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def cli(service: Service) -> CommandLine:
    return CommandLine(service.url)


@pytest.fixture(scope="module")
def ended(service: Service) -> dict[str, str]:
    """Jobs that ended in all ways, by what they are for; all have the label `of=ended`."""
    jobs = {
        "well": {"CommandLine": "echo out; echo err >&2", "Name": "well"},
        "badly": {"Commands": [{"CommandLine": "true"}, {"CommandLine": "exit 3"}]},
        "by signal": {"CommandLine": "kill -SEGV $$"},
        "late": {"CommandLine": "sleep 1000", "Timeout": 0.1, "Grace": 0},
        "never": {"CommandLine": "true", "WorkingDir": "/no/such"},
        "evil": {
            "CommandLine": "echo '\x1b[31m' 漢字 " + "x" * 200,
            "Name": "\x1b]0;x\x07" + "é" * 60,
        },
    }
    ids = {why: service.submit({**job, "Labels": {"of": "ended"}}) for why, job in jobs.items()}
    for job_id in ids.values():
        service.wait(job_id)
    return ids


def ids(output: bytes) -> list[str]:
    return output.decode().split()


def test_a_table_says_how_each_job_stands_within_80_columns(cli: CommandLine, ended):
    done = cli("ps", "-a", "-l", "of=ended", "--order", "oldest")
    head, *rows = done.stdout.decode().splitlines()
    assert head.split() == ["ID", "NAME", "STATE", "AGE", "DURATION", "COMMAND"]
    assert done.stderr == b""
    assert [row[:8] for row in rows] == [job_id[:8] for job_id in ended.values()]
    said = [
        "exited 0 ", "exited 3 ", "exited SIGSEGV ", "killed timeout ", "not started ", "exited 0 ",
    ]  # fmt: skip
    for row, state in zip(rows, said, strict=True):
        assert state in row
    assert rows[1].endswith("true (+1)")
    assert rows[5].endswith("…")
    assert "\x1b" not in done.stdout.decode()
    assert max(map(len, [head, *rows])) <= 80
    wide = cli("ps", "-a", "-l", "of=ended", "--wide", "--name", "\x1b*").stdout.decode()
    assert "é" * 60 in wide
    assert "x" * 200 in wide


def test_colours_are_for_terminals_without_no_color(service: Service, ended):
    for variables, has_colours in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
        own = CommandLine(service.url, TERM="xterm", **variables)
        with own.at_terminal("ps", "-a", "-l", "of=ended") as terminal:
            terminal.expect(pexpect.EOF)
            assert (b"\x1b[" in terminal.before) == has_colours
            plain = re.sub(rb"\x1b\[\d*m", b"", terminal.before)
            assert b"\x1b" not in plain
            assert b"\x07" not in plain


def test_lists_for_programs_have_the_views_and_the_ids(cli: CommandLine, service: Service, ended):
    of = ("--all", "-l", "of=ended")
    assert json.loads(cli("ps", *of, "-o", "json", "--order", "oldest").stdout) == [
        service.show(job_id) for job_id in ended.values()
    ]
    assert cli("ps", "--name", "nobody", "-o", "json").stdout == b"[]\n"
    assert cli("ps", "--name", "nobody", "-q").stdout == b""
    newest_first = list(reversed(ended.values()))
    assert ids(cli("ps", *of, "-q").stdout) == newest_first
    assert ids(cli("ps", *of, "-q", "-n", "2").stdout) == newest_first[:2]
    failed = ids(cli("ps", "-l", "of=ended", "--exit", "nonzero", "-q").stdout)
    assert set(failed) == {ended[w] for w in ("badly", "by signal", "late", "never")}
    assert ids(cli("ps", "-l", "of=ended", "--reason", "timeout", "-q").stdout) == [ended["late"]]
    names = ids(cli("ps", *of, "-o", "name", "--exit", "0").stdout)
    assert names == ["\\u001b]0;x\\u0007" + "é" * 60, "well"]


def test_live_jobs_are_listed_by_default(cli: CommandLine, service: Service, gate: Gate, ended):
    job_id = service.submit({"CommandLine": f"read -r _ < {gate}", "Name": "live"})
    assert ids(cli("ps", "-q").stdout) == [job_id]
    gate.open()
    service.wait(job_id)
    assert len(cli("ps").stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("ps", "-a", "--state", "running"), 2, "Expected one of --all and --state"),
        (("ps", "--state", "done"), 2, "'done'"),
        (("ps", "-q", "-o", "json"), 2, "Expected one of --quiet and --output"),
        (("ps", "-o", "yaml"), 2, "'yaml' is not one of"),
        (("inspect",), 2, "Missing argument"),
        (("inspect", "nobody"), 125, "'nobody'"),
        (("wait", "nobody"), 125, "'nobody'"),
        (("wait", "--any", "--all", "x"), 2, "got both"),
        (("kill",), 2, "got nothing"),
        (("kill", "x", "--all"), 2, "got more than one of them"),
        (("kill", "-s", "NONE", "x"), 2, "such as TERM, SIGINT or 9, got 'NONE'"),
        (("clean", "-l", "a=b"), 2, "Expected --yes"),
        (("clean", "nobody"), 125, "'nobody'"),
    ],
)
def test_what_is_wrong_is_one_line(cli: CommandLine, arguments, status, said):
    done = cli(*arguments, status=status)
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("jobrunner: ")
    assert said in line
    assert done.stdout == b""


def test_inspect_shows_views_as_they_are(cli: CommandLine, service: Service, ended):
    shown = json.loads(cli("inspect", ended["badly"], "well").stdout)
    assert shown == [service.show(ended["badly"]), service.show(ended["well"])]
    assert cli("inspect", "@last", "-o", "json").stdout.startswith(b"[{\n")


def test_jobs_go_by_id_beginning_of_an_id_name_and_last(
    cli: CommandLine, service: Service, gate: Gate, ended
):
    def meant(word: str) -> str:
        return cli("inspect", "-q", word).stdout.decode().strip()

    well = ended["well"]
    assert [meant(word) for word in (well, well.upper(), well[:8], well[:13])] == [well] * 4
    first = service.submit({"CommandLine": "true", "Name": "twin"})
    second = service.submit({"CommandLine": "true", "Name": "twin"})
    assert meant("@last") == second
    for job_id in (first, second):
        service.wait(job_id)
    assert meant("twin") == second  # the newest of those that have ended
    live = [
        service.submit({"CommandLine": f"read -r _ < {gate}", "Name": name})
        for name in ("twin", "tw*", "twin", well[:8])
    ]
    assert meant("tw*") == live[1]
    for word, several in (("twin", [live[2], live[0]]), (well[:8], [live[3], well])):
        said = cli("inspect", word, status=125).stderr.decode()
        assert said == f"jobrunner: {word!r} may be any of {', '.join(several)}.\n"
    gate.open(4)
    for job_id in live:
        service.wait(job_id)


def test_inspect_summarizes_a_job_with_its_commands(cli: CommandLine, service: Service, ended):
    text = cli("inspect", "-o", "table", ended["badly"], "well").stdout.decode()
    assert "State      exited 3\n" in text
    assert re.search(r"^0  bash  exited 0  \S+ +true$", text, re.MULTILINE)
    assert re.search(r"^1  bash  exited 3  \S+ +exit 3$", text, re.MULTILINE)
    assert "Name       well\n" in text
    assert "Output     8 B\n" in text
    evil = cli("inspect", "-o", "table", ended["evil"]).stdout
    assert b"\x1b" not in evil
    assert b"\x07" not in evil


def test_inspect_lists_processes_and_shows_the_receipt(cli: CommandLine, service: Service):
    job_id = service.submit("echo ready; sleep 1000")
    lines(service, job_id, 1)
    text = cli("inspect", "-o", "table", "--processes", job_id).stdout.decode()
    assert re.search(r"^PID +PARENT +STATE +CPU +MEMORY +COMMAND$", text, re.MULTILINE)
    assert re.search(r"^\d+ .*sleep 1000$", text, re.MULTILINE)
    (view,) = json.loads(cli("inspect", "--processes", job_id).stdout)
    assert view["Processes"]
    service.kill(job_id, wait="true")
    text = cli("inspect", "-o", "table", job_id).stdout.decode()
    assert re.search(r"^State +killed$", text, re.MULTILINE)
    assert re.search(
        r"^Kill +\S+: TERM sent; \d+ process(?:es)? found, all seen gone$", text, re.MULTILINE
    )


def test_wait_exits_as_the_worst_and_prints_nothing(cli: CommandLine, ended):
    done = cli("wait", ended["well"], ended["badly"], ended["by signal"], status=139)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert cli("wait", "well").stderr == b""
    late = cli("wait", ended["well"], ended["late"], status=124)
    assert late.stdout == b""
    assert late.stderr.decode().endswith("was killed: it ran into its Timeout.\n")
    assert cli("wait", "--any", ended["badly"], ended["well"]).stdout == b""  # ended before it


def test_wait_any_is_over_with_the_first_that_ends(cli: CommandLine, service: Service, gate: Gate):
    stays = service.submit(f"read -r _ < {gate}")
    goes = service.submit(f"read -r _ < {gate}; exit 4")
    with cli.started("wait", "--any", stays, goes) as waiting:
        service.kill(stays)
        out, err = waiting.communicate(timeout=100)
    assert (out, err, waiting.returncode) == (b"", b"", 128 + signal.SIGTERM)
    other = service.submit("sleep 1000")
    for options, said in (
        ((goes,), f"The job {goes} hasn't ended after 0.2s."),
        ((stays, goes, other), f"The job {goes} hasn't ended after 0.2s."),
        (("--any", goes, other), "None of the 2 jobs has ended after 0.2s."),
    ):
        late = cli("wait", "--timeout", "0.2s", *options, status=124)
        assert late.stderr.decode() == f"jobrunner: {said}\n"
        assert late.stdout == b""
    service.kill(other)
    gate.open(2)
    assert cli("wait", goes, status=4).stdout == b""


def test_wait_is_over_in_time_also_where_no_service_answers(tmp_path):
    nobody = CommandLine(f"unix://{tmp_path}/none")
    unknown = "00000000-0000-4000-8000-000000000000"
    late = nobody("wait", "--timeout", "0.2", unknown, status=124)
    assert late.stderr.decode() == f"jobrunner: The job {unknown} hasn't ended after 0.2s.\n"
    failed = nobody("--connect-timeout", "0.2", "wait", "--timeout", "100", unknown, status=125)
    assert failed.stderr.startswith(b"jobrunner: No service answers at unix://")


def test_kill_shows_a_receipt_for_each_and_goes_on_behind_what_fails(
    cli: CommandLine, service: Service, ended
):
    first, second = (service.submit(DEAF) for _ in range(2))
    for job_id in (first, second):
        lines(service, job_id, 1)
    unknown = "00000000-0000-4000-8000-000000000000"
    done = cli("kill", "--grace", "0.2", first, unknown, second, "well", first, status=125)
    killed = (
        r"The job {} was killed: TERM, then KILL sent; \d+ process(?:es)? found, all seen gone\."
    )
    said = [
        killed.format(first),
        killed.format(second),
        f"The job {ended['well']} had ended by itself.",
    ]
    for line, pattern in zip(done.stdout.decode().splitlines(), said, strict=True):
        assert re.fullmatch(pattern, line)
    assert done.stderr.decode() == f"jobrunner: There is no job with the ID {unknown!r}.\n"


def test_kill_by_selectors_and_without_waiting(cli: CommandLine, service: Service):
    job = {"CommandLine": DEAF, "Labels": {"of": "kill"}}
    jobs = [service.submit(job) for _ in range(3)]
    for job_id in jobs:
        lines(service, job_id, 1)
    done = cli("kill", "-l", "of=kill", "--no-wait", "-s", "sigint", "--grace", "1h")
    requested = "The job {} was running when the kill was requested.\n"
    assert done.stdout.decode() == "".join(requested.format(job_id) for job_id in jobs)
    assert len(cli("kill", "--all", "-s", "9").stdout.splitlines()) >= 3
    assert {service.wait(job_id)["Signal"] for job_id in jobs} == {"SIGKILL"}
    assert cli("kill", "-l", "of=kill").stderr == b"jobrunner: No job is selected.\n"


def test_clean_forgets_what_is_named_or_selected(cli: CommandLine, service: Service, gate: Gate):
    jobs = [
        service.submit({"CommandLine": f"exit {n}", "Labels": {"of": "clean"}})
        for n in (0, 0, 1, 2)
    ]
    live = service.submit({"CommandLine": f"read -r _ < {gate}", "Labels": {"of": "clean"}})
    for job_id in jobs:
        service.wait(job_id)
    done = cli("clean", jobs[0], live, jobs[1], status=125)
    assert ids(done.stdout) == jobs[:2]
    assert re.fullmatch(rf"jobrunner: .*{live}.*\n", done.stderr.decode())
    assert ids(cli("clean", "-l", "of=clean", "--exit", "1", "--yes").stdout) == [jobs[2]]
    with cli.at_terminal("clean", "-l", "of=clean") as terminal:
        terminal.expect(r"Clean 1 job, with all output and files\? \[y/N\]: ")
        terminal.sendline("n")
        terminal.expect(r"jobrunner: Nothing was cleaned\.")
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 125
    service.show(jobs[3])
    with cli.at_terminal("clean", "-l", "of=clean") as terminal:
        terminal.expect(r"\[y/N\]: ")
        terminal.sendline("y")
        terminal.expect(jobs[3])
        terminal.expect(pexpect.EOF)
    assert [service.client.get(f"/{job_id}").status_code for job_id in jobs] == [404] * 4
    gate.open()
    service.wait(live)


def test_ids_of_more_jobs_than_a_page_come_in_order_and_head_may_stop_reading(
    cli: CommandLine, service: Service
):
    body = {"CommandLine": "true", "Labels": {"of": "many"}}
    jobs = [service.submit(body) for _ in range(250)]
    assert ids(cli("ps", "-a", "-q", "-l", "of=many", "--order", "oldest").stdout) == jobs
    with cli.started("ps", "-a", "-q", "-l", "of=many") as listing:
        assert listing.stdout is not None
        listing.stdout.readline()
        listing.stdout.close()
        assert listing.stderr is not None
        assert listing.stderr.read() == b""
    for earlier, later in pairwise(json.loads(cli("ps", "-a", "-o", "json").stdout)):
        assert earlier["CreatedAt"] >= later["CreatedAt"]

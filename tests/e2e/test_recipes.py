"""The recipes for the command line: their commands run as they stand, with the programs that they name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import documents
import pytest
from command_line import FUSE_S, CommandLine
from running import Service
from ssh import NoSshd, sshd
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.once]

PAGE = (documents.ROOT / "service" / "cli" / "RECIPES.md").read_text()
Ran = Callable[..., subprocess.CompletedProcess[str]]


def blocks(title: str, language: str = "sh") -> list[str]:
    """Those of one section."""
    _, _, section = PAGE.partition(f"\n## {title}\n")
    assert section, title
    return re.findall(rf"```{language}\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)


def needs(program: str) -> None:
    if shutil.which(program) is None and "CI" not in os.environ:  # noqa: TID251 - which must run it
        pytest.skip(f"{program} isn't installed")


@pytest.fixture
def run(service: Service, tmp_path: Path) -> Ran:
    """Bash's own result, in a directory of its own, for somebody who has this service in the environment."""

    def run(commands: str, status: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # noqa: TID251 - a person's
        home = {"PATH": programs, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            capture_output=True,
            text=True,
            timeout=FUSE_S,
            check=False,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            env=CommandLine(service.url, PYTHONSAFEPATH="1", **(home | variables)).environment,
        )
        assert done.returncode == status, done.stderr
        return done

    return run


def jobs_named(service: Service, name: str) -> list[str]:
    found: list[str] = service.client.get("/", params={"state": "all", "name": name}).json()["IDs"]
    return found


def test_make_gets_output_and_status(run: Ran, service: Service, tmp_path: Path):
    needs("make")
    (makefile,) = blocks("Make", "make")
    (tmp_path / "Makefile").write_text(makefile)
    made = run("make --silent test", 2)
    assert made.stdout == "testing\n"
    assert made.stderr.startswith("1 test failed\n")
    assert "Error 7" in made.stderr


def test_each_line_of_a_makefile_can_be_a_job(run: Ran, service: Service, tmp_path: Path):
    needs("make")
    (command,) = blocks("Make")
    (tmp_path / "Makefile").write_text(
        "all: a\n\t@echo $$JOBRUNNER_JOB_ID >second\na:\n\t@echo made\n\t@pwd | tee first\n"
    )
    assert run(command).stdout == f"made\n{tmp_path}\n"
    assert (tmp_path / "first").read_text() == f"{tmp_path}\n"


def test_a_ci_job_is_one_job_however_often_it_is_tried(run: Ran, service: Service, tmp_path: Path):
    step, cancel = blocks("A CI job")
    for _ in range(2):
        done = run(step, 3, BUILD_ID="7")
        assert (done.stdout, done.stderr) == ("testing\n1 test failed\n", "")
        assert (tmp_path / "build.log").read_text() == done.stdout
    assert len(jobs_named(service, "build")) == 1
    live = service.submit({"CommandLine": "sleep 1000", "Labels": {"build": "7"}})
    assert "all seen gone" in run(cancel, BUILD_ID="7").stdout
    assert service.wait(live)["State"] == "killed"


def test_a_second_start_by_cron_on_the_same_day_runs_nothing(
    run: Ran, service: Service, tmp_path: Path
):
    (line,) = blocks("Cron", "crontab")
    (job,) = blocks("Cron", "json")
    (look,) = blocks("Cron")
    (tmp_path / "nightly.json").write_text(job)
    fields = line.split(maxsplit=5)
    assert [re.fullmatch(r"\d+|\*", field) is not None for field in fields[:5]] == [True] * 5
    assert not re.search(r"(?<!\\)%", fields[5]), "cron ends the command at the first bare %"
    command = fields[5].replace("\\%", "%").replace("/etc/jobrunner", str(tmp_path))
    for _ in range(2):
        done = run(command)
        assert (done.stdout, done.stderr) == ("", "")
    (job_id,) = jobs_named(service, "nightly")
    table, row, *output = run(look).stdout.splitlines()
    assert table.split()[:2] == ["ID", "NAME"]
    assert row.split()[1] == "nightly"
    assert job_id.startswith(row.split()[0].rstrip("…"))
    assert output == ["building", "testing"]


def test_parallel_runs_jobs_and_gets_their_output_and_statuses(
    run: Ran, service: Service, tmp_path: Path
):
    needs("parallel")
    sweep, look = blocks("GNU parallel")
    done = run(sweep)
    assert done.stdout.splitlines() == [
        "1000003: 1000003",
        "1000004: 2 2 53 53 89",
        "1000005: 3 5 163 409",
        "1000006: 2 7 71429",
    ]
    rows = [line.split("\t") for line in (tmp_path / "jobs.log").read_text().splitlines()]
    assert [row[6] for row in rows] == ["Exitval", "0", "0", "0", "0"]
    assert len(run(look).stdout.splitlines()) == 5
    failing = sweep.replace("-- factor {}", "-- 'exit {}'").replace("1000003 1000006", "1 3")
    run(failing, 3)
    rows = [line.split("\t") for line in (tmp_path / "jobs.log").read_text().splitlines()]
    assert sorted(row[6] for row in rows[1:]) == ["1", "2", "3"]


def test_terminals_come_and_go(run: Ran, service: Service):
    start, attach, look = blocks("Instead of tmux")
    job_id = run(start).stdout.strip()
    assert run(attach).stdout == "epoch 1\nepoch 2\nepoch 3\n"
    last = run(look).stdout
    assert last.startswith("epoch 2\nepoch 3\n")
    assert job_id in last
    assert "had ended by itself" in last


def test_an_agent_waits_for_a_bounded_time_and_gets_what_it_needs(run: Ran, service: Service):
    needs("jq")
    use, end = blocks("An agent or a script")
    shown = run(use + end).stdout.splitlines()
    assert shown[:6] == [
        "status 5",
        "100000",
        "ERROR: disk full",
        "ERROR: disk full",
        "exited 5 true",
        shown[5],
    ]
    assert "had ended by itself" in shown[5]


def test_ssh_leads_to_a_service_that_is_for_its_own_host(
    run: Ran, service: Service, tmp_path: Path
):
    use, close = blocks("Over ssh")
    try:
        with sshd(tmp_path / "ssh") as words:
            program = tmp_path / "bin" / "ssh"
            program.parent.mkdir()
            program.write_text(
                f'#!/bin/sh\nexec {shutil.which(words[0])} {" ".join(words[1:])} "$@"\n'
            )
            program.chmod(0o755)
            path = f"PATH={program.parent}:$PATH\n"
            check = 'stat -c %a jobs.sock; ssh -S "$PWD/jobs.ctl" -O check build.example.org 2>&1\n'
            opened, closed = (
                f"{path}{commands}".replace("build.example.org", "127.0.0.1")
                for commands in (use + check, close)
            )
            done = run(opened.replace("127.0.0.1:8080", f"127.0.0.1:{service.port}"))
            found = re.fullmatch(r"here, there\n600\nMaster running \(pid=(\d+)\)\s*", done.stdout)
            assert found, done.stdout
            with Watched([int(found[1])]) as master:
                run(closed)
                master.wait_gone()
    except NoSshd as exc:
        if "CI" in os.environ:  # noqa: TID251 - which must run it
            raise
        pytest.skip(str(exc))

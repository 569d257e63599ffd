"""What is reported of the end of a command on a cluster, for all that Slurm may tell of it.

The programs are small ones of the test: what they tell a real cluster can't be made to tell at will.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.kinds.slurm import ending

CONTROL = Path(ending.__file__).with_name("control.sh")


class Programs:
    """Slurm's programs below a folder: each prints what a file has, and ends as another says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("squeue", "sacct", "srun"):
            self.says(name, "", status=1)

    def says(self, name: str, text: str, *, status: int = 0, error: str = "") -> None:
        for end, content in (("out", text), ("err", error)):
            (self.folder / f"{name}.{end}").write_text(content)
        program = self.folder / name
        program.write_text(
            f'#!/bin/sh\necho "$*" >> {program}.calls\ncat {program}.out; cat {program}.err >&2\nexit {status}\n'
        )
        program.chmod(0o755)

    def probe(self, status: int) -> dict[str, Any]:
        report = os.memfd_create("report")
        python = (sys.executable, "-I", "-S", ending.__file__)
        argv = [
            *("/bin/sh", str(CONTROL), "probe", str(self.folder / "squeue"), "0", "jr-x-0"),
            *(*python, str(self.folder / "sacct"), str(self.folder / "srun"), "--mem=1K"),
            str(status),
        ]
        try:
            subprocess.run(argv, stdin=report, check=True, timeout=300)
            told: dict[str, Any] = json.loads(os.pread(report, 1 << 16, 0))
        finally:
            os.close(report)
        return told

    def cancel(self, *, listed: int) -> list[str]:
        """Which programs the cleanup runs, of a job that is listed for so many looks."""
        calls = self.folder / "calls"
        for name, then in (
            ("squeue", f'[ "$(grep -c ^squeue {calls})" -gt {listed} ] || echo 7'),
            ("scancel", ":"),
        ):
            program = self.folder / name
            program.write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n{then}\n')
            program.chmod(0o755)
        whose = (str(self.folder / "squeue"), "0", "jr-x-0", str(self.folder / "scancel"))
        subprocess.run(["/bin/sh", str(CONTROL), "cancel", *whose], check=True, timeout=300)
        return calls.read_text().splitlines()


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def queue(state: str, code: int, reason: str = "None", nodes: str = "n1") -> str:
    """As squeue prints it; its shorter form, for the plain ends, lacks the reason."""
    return f"7|{state}|{code}|{nodes}|{reason}|\n"


FACTS = {"SlurmJobID": "7", "Nodes": "n1"}


@pytest.mark.parametrize(
    ("said", "state", "code", "status"),
    [
        (0, "COMPLETED", 0, 0),
        (7, "FAILED", 7 << 8, 7),
        (143, "FAILED", 143 << 8, 143),
        (143, "FAILED", 15, -15),
        (139, "FAILED", 11, -11),
        (0, "FAILED", 5 << 8, 5),  # the controller is believed
    ],
)
def test_a_plain_end_is_the_controllers(
    programs: Programs, said: int, state: str, code: int, status: int
) -> None:
    programs.says(
        "squeue", f"7|{state}|{code}|n1|" + ("None|" if said == 0 and code else "") + "\n"
    )
    told = programs.probe(said)
    assert (told["status"], told["facts"], told["gone"]) == (status, FACTS, True)
    assert "error" not in told


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [
        ("TIMEOUT", 0, None),
        ("TIMEOUT", 15, -15),
        ("CANCELLED", 0, None),
        ("CANCELLED", 9, -9),
        ("PREEMPTED", 15, -15),
        ("NODE_FAIL", 0, None),
        ("DEADLINE", 0, None),
        ("BOOT_FAIL", 1 << 8, 1),
        ("REVOKED", 0, None),
    ],
)
def test_what_slurm_ended_is_no_success(
    programs: Programs, state: str, code: int, status: int | None
) -> None:
    programs.says("squeue", queue(state, code))
    told = programs.probe(0)
    assert told["error"].startswith(f"Slurm ended the job ({state}): ")
    assert told.get("status") == status
    assert told["facts"] == FACTS


def test_a_lack_of_memory_keeps_what_srun_said(programs: Programs) -> None:
    programs.says("squeue", queue("OUT_OF_MEMORY", 125 | 128))
    told = programs.probe(137)
    assert (told["oom_killed"], told["status"]) == (True, -9)


@pytest.mark.parametrize(("reason", "state"), [("TimeLimit", "TIMEOUT"), ("NodeDown", "NODE_FAIL")])
def test_a_job_that_still_completes_says_why_it_ended(
    programs: Programs, reason: str, state: str
) -> None:
    programs.says("squeue", queue("COMPLETING", 0, reason))
    told = programs.probe(0)
    assert f"({state})" in told["error"]
    assert told["gone"] is False


def test_a_job_that_completes_at_once_is_asked_about_a_second_time_and_its_end_is_plain(
    programs: Programs,
) -> None:
    completing, over = queue("COMPLETING", 0), queue("COMPLETED", 0)
    squeue, once = programs.folder / "squeue", programs.folder / "once"
    squeue.write_text(
        f"#!/bin/sh\necho >> {squeue}.calls\n"
        f"if mkdir {once}; then echo '{completing}'; else echo '{over}'; fi\n"
    )
    told = programs.probe(0)
    assert told == {"status": 0, "gone": True, "facts": FACTS}
    assert len((programs.folder / "squeue.calls").read_text().splitlines()) == 2


def test_a_job_that_still_completes_tells_of_a_preemption_by_its_time(programs: Programs) -> None:
    squeue = programs.folder / "squeue"
    squeue.write_text(
        '#!/bin/sh\ncase "$*" in *PreemptTime*) echo "2026-11-27T07:57:19|";;\n'
        f"*) echo '{queue('COMPLETING', 0)}';; esac\n"
    )
    told = programs.probe(0)
    assert "(PREEMPTED)" in told["error"]
    assert ("status" in told, told["gone"], told["facts"]) == (False, False, FACTS)


def test_an_epilog_is_not_waited_for_long(programs: Programs) -> None:
    programs.says("squeue", queue("COMPLETING", 7 << 8))
    told = programs.probe(7)
    assert (told["status"], told["gone"]) == (7, False)


def test_what_runs_without_its_srun_is_an_error_and_is_to_be_cancelled(programs: Programs) -> None:
    programs.says("squeue", queue("RUNNING", 0))
    told = programs.probe(-9)
    assert "srun ended (signal 9) while the job was RUNNING" in told["error"]
    assert told["complete"] is False
    assert "gone" not in told


def test_no_success_is_believed_of_a_step_whose_srun_was_killed(programs: Programs) -> None:
    programs.says("squeue", queue("COMPLETED", 0))
    told = programs.probe(-9)
    assert "srun ended (signal 9)" in told["error"]
    assert "status" not in told


def test_what_the_controller_has_forgotten_stands_in_the_accounting(programs: Programs) -> None:
    programs.says("squeue", "")
    programs.says("sacct", "7|CANCELLED by 0|0:15|n1\n")
    told = programs.probe(143)
    assert "(CANCELLED)" in told["error"]
    assert (told["status"], told["facts"]) == (-15, FACTS)


def test_without_accounting_what_srun_said_counts_for_a_success(programs: Programs) -> None:
    programs.says("squeue", "")
    assert programs.probe(0) == {"status": 0, "gone": True}


def test_what_was_refused_is_described_to_srun_once_more(programs: Programs) -> None:
    programs.says("squeue", "")
    error = "srun: error: something\nallocation failure: Invalid account\n"
    programs.says("srun", "", status=1, error=error)
    assert programs.probe(1)["error"] == "Slurm refused the job: Invalid account."
    calls = (programs.folder / "srun.calls").read_text()
    assert calls == "--test-only --mem=1K /bin/true\n"


def test_a_job_that_was_requeued_is_the_newest_of_its_name(programs: Programs) -> None:
    programs.says("squeue", "7|FAILED|256|n1|None|\n12|COMPLETED|0|n2|None|\n")
    told = programs.probe(0)
    assert (told["status"], told["facts"]["SlurmJobID"]) == (0, "12")


LOOK = "squeue -h -u 0 -n jr-x-0 -o %i"
WAITS_NO_MORE = "scancel -Q -t PENDING 7"
END_ALL = ("scancel -Q -s KILL 7.0", "scancel -Q 7")


@pytest.mark.parametrize(
    ("listed", "ran"),
    [
        (0, [LOOK, LOOK]),
        (1, [LOOK, WAITS_NO_MORE, LOOK]),
        (2, [LOOK, WAITS_NO_MORE, LOOK, LOOK]),
        (4, [LOOK, WAITS_NO_MORE, LOOK, LOOK, *END_ALL, LOOK, LOOK]),
    ],
)
def test_a_step_is_killed_once_and_not_while_its_client_may_do_the_same(
    programs: Programs, listed: int, ran: list[str]
) -> None:
    assert programs.cancel(listed=listed) == ran

"""What the sweep after a dead supervisor takes, and what it leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from service.host.procfs import look_at
from service.supervisor.process.marks import JOB_VARIABLE, STATE_VARIABLE
from service.supervisor.process.orphans import reap_orphans

MARK = "5e55104d00c0ffee"
JOB = "00000000-0000-4000-8000-00000000000a"
# A session with one process of the job, and one that only shares the session.
SESSION = f"""
sleep 600 & echo $!
env {JOB_VARIABLE}={JOB} {STATE_VARIABLE}={MARK} sleep 600 & echo $!
read -r _
"""


def is_alive(pid: int) -> bool:
    process = look_at(pid)
    return process is not None and not process.is_dead


def test_a_session_whose_leader_is_of_no_job_is_left_alone(tmp_path: Path) -> None:
    """A child of the dead supervisor that hadn't begun its own session yet has that of whoever
    started the supervisor.
    """
    (tmp_path / JOB).mkdir()
    with subprocess.Popen(
        ["bash", "-c", SESSION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as leader:
        assert leader.stdout is not None
        bystander, member = (int(leader.stdout.readline()) for _ in range(2))
        try:
            # bash tells of its child before that has executed anything.
            while b"sleep" not in Path(f"/proc/{member}/cmdline").read_bytes().split(b"\0")[:1]:
                assert is_alive(member)
            assert reap_orphans(tmp_path, MARK) == 1
            assert not is_alive(member)
            assert is_alive(bystander)
            assert is_alive(leader.pid)
        finally:
            # All of the test's own session: its leader isn't reaped, so the number is its own.
            os.killpg(leader.pid, signal.SIGKILL)

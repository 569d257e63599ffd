"""The audit log: whole lines, whoever writes, and a rotation loses none."""

import json
import subprocess
import sys

from service.access.audit import AuditLog
from service.paths import StateDir

WRITER = """
import sys
from pathlib import Path
from service.access.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for n in range(500):
    log.add("submit", principal=sys.argv[2], job=str(n), client_ip="127.0.0.1")
"""


def lines_of(directory):
    return [json.loads(line) for line in StateDir(directory).audit_log.read_text().splitlines()]


def test_lines_of_several_processes_never_mix(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-P", "-c", WRITER, str(tmp_path), name])
        for name in ("a", "b", "c")
    ]
    assert [writer.wait(300) for writer in writers] == [0, 0, 0]
    lines = lines_of(tmp_path)
    for name in ("a", "b", "c"):
        assert [x["job"] for x in lines if x["principal"] == name] == [str(n) for n in range(500)]


def test_a_file_that_is_moved_away_is_followed_by_a_new_one(tmp_path):
    log = AuditLog(tmp_path)
    log.add("kill", principal=None, job="1")
    StateDir(tmp_path).audit_log.rename(tmp_path / "old")
    log.add("kill", principal="a", token="t", job="2")
    log.close()
    assert [x["job"] for x in lines_of(tmp_path)] == ["2"]
    assert json.loads((tmp_path / "old").read_text())["job"] == "1"
    assert StateDir(tmp_path).audit_log.stat().st_mode & 0o777 == 0o600


def test_one_that_cannot_be_written_stops_nobody(tmp_path, capfd):
    log = AuditLog(tmp_path / "gone")
    log.add("kill", principal=None, job="1")
    assert "audit_not_written" in "".join(capfd.readouterr())

"""A state directory in which logs lay beside the jobs' working directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.files.job import job_files
from service.supervisor.layout import lay_out


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Of a release before: a job with output, a silent one, one with a container."""
    for job in ("loud", "silent", "contained"):
        (tmp_path / "jobs" / job / "work").mkdir(parents=True)
    for job in ("loud", "contained"):
        (tmp_path / "jobs" / job / "output").write_text(f"of {job}")
        (tmp_path / "jobs" / job / "runs").write_text("index")
    (tmp_path / "jobs" / "contained" / "container-0").write_text("1234")
    return tmp_path


def assert_moved(state_dir: Path) -> None:
    logs = state_dir / "logs"
    assert sorted(os.listdir(logs)) == ["contained", "loud"]
    assert (logs / "loud" / "output").read_text() == "of loud"
    assert sorted(os.listdir(logs / "contained")) == ["output", "runs"]
    assert os.listdir(state_dir / "jobs" / "loud") == ["work"]
    # Who reads it has been told that place.
    assert sorted(os.listdir(state_dir / "jobs" / "contained")) == ["container-0", "work"]
    assert sorted(os.listdir(state_dir)) == ["jobs", "logs"]
    assert {path.stat().st_mode & 0o777 for path in (logs, *logs.iterdir())} == {0o700}


def test_logs_are_moved_once(old: Path):
    assert job_files(old, "loud").log == f"{old}/jobs/loud"  # as long as they are there
    lay_out(old)
    assert_moved(old)
    assert job_files(old, "loud").log == f"{old}/logs/loud"
    (old / "jobs" / "silent" / "output").write_text("forged by the job")
    lay_out(old)
    assert not (old / "logs" / "silent").exists()


@pytest.mark.parametrize("steps", range(4))
def test_a_move_that_was_interrupted_is_gone_on_with(
    old: Path, monkeypatch: pytest.MonkeyPatch, steps: int
):
    left = iter(range(steps))

    def rename(source: str, target: str) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        os.replace(source, target)

    monkeypatch.setattr("service.supervisor.layout.os.rename", rename)
    with pytest.raises(OSError, match="No space"):
        lay_out(old)
    assert not (old / "logs").exists()
    monkeypatch.undo()
    lay_out(old)
    assert_moved(old)


def test_a_disk_without_room_leaves_all_where_it_was(old: Path, monkeypatch: pytest.MonkeyPatch):
    before = sorted(str(path.relative_to(old)) for path in (old / "jobs").rglob("*"))
    made = []

    def mkdir(path: Path, mode: int) -> None:
        if made:
            raise OSError(28, "No space left on device")
        made.append(path)
        path.mkdir(mode)

    monkeypatch.setattr("service.supervisor.layout.os.mkdir", mkdir)
    with pytest.raises(OSError, match="No space"):
        lay_out(old)
    assert len(made) == 1
    assert sorted(str(path.relative_to(old)) for path in (old / "jobs").rglob("*")) == before


def test_a_new_directory_has_both(tmp_path: Path):
    lay_out(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["jobs", "logs"]

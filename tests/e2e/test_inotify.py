"""Without inotify, or without a watch left, output is followed all the same, and the service says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gates import Gate, attached
from running import running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LIMITED = Path(__file__).parent.parent / "tools" / "without_inotify.py"


def command(limit, count):
    found = subprocess.run(
        [sys.executable, str(LIMITED), limit, "0", "-c", ""], capture_output=True, check=False
    )
    if found.returncode:
        pytest.skip(f"no user namespace can be made here: {found.stderr!r}")
    return (str(LIMITED), limit, str(count), "-m", "sanic", "service.app")


def remark(service):
    answer = service.client.get("/health/ready")
    assert answer.status_code == 200  # jobs run, and are followed
    return answer.json()["Checks"]["output"]["Why"]


@pytest.mark.parametrize(
    ("limit", "workers"),
    [("max_inotify_instances", None), ("max_inotify_watches", None), ("max_inotify_instances", 2)],
)
def test_without_inotify_output_is_followed_and_readiness_says_how(
    state_dir, tmp_path, limit, workers
):
    gate = Gate(tmp_path / "gate")
    with running(state_dir, workers=workers, command=command(limit, 0)) as service:
        job_id = service.submit(
            f"for word in one two three; do echo $word; read -r _ < {gate}; done"
        )
        with attached(service, job_id) as output:
            for word in ("one", "two", "three"):
                assert next(output) == word
                gate.open()
            assert list(output) == []
        assert service.output(job_id) == b"one\ntwo\nthree\n"
        held = service.submit(f"echo held; read -r _ < {gate}")
        with attached(service, held) as output:
            assert next(output) == "held"
            service.wait_for_line("output_not_watched")
            if workers is None:  # the only one is asked
                assert "looked at every" in remark(service)
                assert limit.removeprefix("max_inotify") in remark(service)
            gate.open()
            assert list(output) == []
        assert not any("stream_cut" in line for line in service.lines)
    gate.close()


def test_the_readers_that_find_a_watch_have_it_and_the_others_follow_too(state_dir, tmp_path):
    gate = Gate(tmp_path / "gate")
    with running(state_dir, command=command("max_inotify_watches", 2)) as service:
        assert remark(service) is None
        ids = [service.submit(f"echo ready; read -r _ < {gate}; echo on") for _ in range(4)]
        streams = [attached(service, job_id) for job_id in ids]
        outputs = [stream.__enter__() for stream in streams]
        assert [next(output) for output in outputs] == ["ready"] * 4
        service.wait_for_line("output_not_watched")
        gate.open(4)
        assert [list(output) for output in outputs] == [["on"]] * 4
        for stream in streams:
            stream.__exit__(None, None, None)
        service.wait(ids[0])
    gate.close()

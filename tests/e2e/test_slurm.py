"""Commands on a real cluster of two nodes: output, ends, environment, and other Kinds beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from containers import job, outcome
from gates import Gate
from running import Service, running
from slurm import Cluster, slurm

pytestmark = [pytest.mark.e2e, pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    environment = {
        **cluster.environment,
        "JOBRUNNER_SLURM_OPTIONS": "exclusive nodelist",
        "JOBRUNNER_MAX_RUNNING": "40",
    }
    with running(state_dir, environment=environment) as service:
        yield service


def test_a_command_runs_on_a_node_and_its_view_says_where(service: Service, cluster: Cluster):
    view = service.run(job(slurm("echo out; echo err >&2; pwd; echo $SLURM_JOB_NAME")))
    assert (view["State"], outcome(view), view["Error"]) == ("exited", ("exited", 0, None), None)
    command = view["Commands"][0]
    assert command["Nodes"] in ("n1", "n2")
    assert cluster.state(f"jr-{view['ID']}-0") == "COMPLETED"
    assert command["SlurmJobID"].isdecimal()
    assert command["Queued"] is None
    expected = f"out\n{view['WorkingDir']}\njr-{view['ID']}-0\n"
    assert service.output(view["ID"], stream="stdout").decode() == expected
    assert service.output(view["ID"], stream="stderr") == b"err\n"


@pytest.mark.parametrize(
    ("line", "code", "signal"),
    [
        ("exit 7", 7, None),
        ("exit 255", 255, None),
        ("exit 143", 143, None),
        ("kill -SEGV $$", None, "SIGSEGV"),
        ("kill -KILL $$", None, "SIGKILL"),
    ],
)
def test_codes_and_signals_are_the_commands(
    service: Service, line: str, code: int | None, signal: str | None
):
    view = service.run(job(slurm(line)))
    assert (view["State"], outcome(view), view["Error"]) == (
        "exited",
        ("exited", code, signal),
        None,
    )
    assert view["Commands"][0]["SlurmJobID"].isdecimal()
    assert service.output(view["ID"]) == b""


def test_partial_lines_arrive_while_the_step_runs(service: Service, gate: Gate):
    line = f"printf half; printf other >&2; read -r _ < {gate.path}; echo"
    job_id = service.submit(job(slurm(line)))
    with service.client.stream("GET", f"/{job_id}/attach") as answer:
        seen = b""
        for chunk in answer.iter_raw():
            seen += chunk
            if len(seen) == len("halfother"):
                break
    assert service.show(job_id)["State"] == "running"
    gate.open()
    assert service.wait(job_id)["ExitCode"] == 0
    assert service.output(job_id, stream="stdout") == b"half\n"
    assert service.output(job_id, stream="stderr") == b"other"


def test_a_hundred_megabytes_come_byte_for_byte(service: Service):
    size = 100_000_000
    line = f"head -c {size} /dev/urandom | tee >(sha256sum >&2); sleep 0.5"
    view = service.run(job(slurm(line)))
    assert (outcome(view), view["Output"]["Complete"]) == (("exited", 0, None), True)
    digest = hashlib.sha256()
    count = 0
    with service.client.stream("GET", f"/{view['ID']}/attach?stream=stdout") as answer:
        for chunk in answer.iter_raw():
            digest.update(chunk)
            count += len(chunk)
    told = service.output(view["ID"], stream="stderr").decode().split()[0]
    assert (count, digest.hexdigest()) == (size, told)

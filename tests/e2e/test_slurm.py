"""Commands on a real cluster of two nodes: output, ends, environment, and other Kinds beside them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine
from containers import docker, job, outcome
from dockerd import Dockerd
from gates import Gate, attached
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
    assert command["Nodes"] in cluster.nodes
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


def test_bash_slurm_and_docker_pass_files_in_one_job_with_one_log(
    tmp_path: Path, cluster: Cluster, dockerd: Dockerd
):
    environment = {**cluster.environment, **dockerd.environment}
    with running(tmp_path / "jobrunner", environment=environment) as service:
        view = service.run(
            job(
                "echo one | tee file",
                slurm("echo two | tee -a file; echo aside >&2"),
                docker("echo three | tee -a file"),
                "cat file",
                slurm("wc -l < file"),
            )
        )
        assert [command["ExitCode"] for command in view["Commands"]] == [0] * 5
        log = service.output(view["ID"], stream="stdout")
        assert log == b"one\ntwo\nthree\none\ntwo\nthree\n3\n"
        assert service.output(view["ID"], stream="stderr") == b"aside\n"
        assert cluster.jobs(view["ID"]) == []


def test_the_environment_arrives_whole_whatever_is_in_it(service: Service):
    values = {f"BIG{n}": f"{n}'\n\"$x`\\ü" * 12_000 for n in range(6)}
    assert sum(len(value.encode()) for value in values.values()) > 500_000
    odd = {"NEWLINES": "a\n\nb\n", "with.dots": "1", "a b": "2", "LD_LIBRARY_PATH": "/nowhere"}
    odd |= {"SLURM_CONF": "/evil", "PATH": "/usr/bin:/bin:/own"}
    line = 'env -0 | sort -z | sha256sum; printf %s "$NEWLINES" | od -An -c; echo $SLURM_CONF $PATH'
    line = f'for v in {" ".join(values)}; do printf %s "${{!v}}" | sha256sum; done; ' + line
    view = service.run({**job(slurm(line, odd)), "Environment": values})
    assert outcome(view) == ("exited", 0, None)
    told = service.output(view["ID"], stream="stdout").decode().splitlines()
    expected = [f"{hashlib.sha256(value.encode()).hexdigest()}  -" for value in values.values()]
    assert told[: len(values)] == expected
    assert told[-1] == "/evil /usr/bin:/bin:/own"
    assert "\\n  \\n   b  \\n" in "".join(told[len(values) + 1 : -1])


def test_a_command_line_of_megabytes_runs(service: Service):
    line = f"x='{'y' * 1_500_000}'; echo ${{#x}}; exit 3"
    view = service.run(job(slurm(line)))
    assert (outcome(view), service.output(view["ID"])) == (("exited", 3, None), b"1500000\n")


def test_twenty_at_once_run_on_both_nodes(service: Service, cluster: Cluster):
    jobs = [service.submit(job(slurm(f"echo {n}; exit {n}"))) for n in range(20)]
    views = [service.wait(job_id) for job_id in jobs]
    assert [view["ExitCode"] for view in views] == list(range(20))
    outputs = [service.output(job_id, stream="stdout") for job_id in jobs]
    assert outputs == [f"{n}\n".encode() for n in range(20)]
    assert {view["Commands"][0]["Nodes"] for view in views} == set(cluster.nodes)


def test_tasks_on_both_nodes_write_into_one_log(service: Service, cluster: Cluster):
    asked = {"Nodes": 2, "Tasks": 2, "Options": ["--exclusive"]}
    view = service.run(job(slurm("echo $SLURM_PROCID $SLURMD_NODENAME", **asked)))
    assert outcome(view) == ("exited", 0, None)
    assert view["Commands"][0]["Nodes"].endswith("-[1-2]")
    told = service.output(view["ID"], stream="stdout").decode().splitlines()
    assert sorted(told) == [f"{number} {node}" for number, node in enumerate(cluster.nodes)]


def test_a_name_with_odd_characters_changes_nothing(service: Service):
    name, label = "a b'\"$(touch x)|\u202e%j", {"k|=|".replace("=", "-"): "%i\n"}
    view = service.run({**job(slurm("ls -A")), "Name": name, "Labels": label})
    assert (view["Name"], outcome(view)) == (name, ("exited", 0, None))
    assert service.output(view["ID"]) == b""


def test_the_jobs_input_is_the_steps(service: Service):
    job_id = service.submit(job(slurm("read -r a; echo got $a; cat | wc -c"), Stdin=True))
    assert service.client.post(f"/{job_id}/stdin", content=b"line\n").status_code == 200
    with attached(service, job_id, stream="stdout") as output:
        assert next(output) == "got line"
        rest = b"\0\xff" * 50_000
        answer = service.client.post(f"/{job_id}/stdin", params={"eof": "true"}, content=rest)
        assert answer.status_code == 200
        assert next(output) == "100000"


def test_the_command_line_runs_a_command_on_the_cluster(service: Service):
    cli = CommandLine(service.url)
    options = ("--partition", "one", "--memory", "100M", "--time-limit", "2m", "--tasks", "1")
    done = cli(
        "run", "--slurm", *options, "--", "sh", "-c", "echo $SLURM_JOB_PARTITION; exit 7", status=7
    )
    assert done.stdout == b"one\n"
    assert b"--slurm" in cli("run", "--partition", "one", "true", status=2).stderr


def test_a_partition_and_an_account_of_the_service_are_the_default(
    tmp_path: Path, cluster: Cluster
):
    defaults = {"JOBRUNNER_SLURM_PARTITION": "one", "JOBRUNNER_SRUN": shutil.which("srun") or ""}
    with running(
        tmp_path / "jobrunner", environment={**cluster.environment, **defaults}
    ) as service:
        view = service.run(job(slurm("echo $SLURM_JOB_PARTITION")))
        assert service.output(view["ID"]) == b"one\n"


def test_a_service_in_a_job_of_slurm_makes_jobs_and_no_steps(tmp_path: Path, cluster: Cluster):
    inside = {
        "SLURM_JOB_ID": "4242",
        "SLURM_JOBID": "4242",
        "SLURM_NODELIST": "n1",
        "SLURM_NTASKS": "3",
    }
    with running(tmp_path / "jobrunner", environment={**cluster.environment, **inside}) as service:
        view = service.run(job(slurm("echo $SLURM_JOB_ID $SLURM_NTASKS")))
        number = view["Commands"][0]["SlurmJobID"]
        assert service.output(view["ID"]).split() == [number.encode(), b"1"]
        assert number != "4242"

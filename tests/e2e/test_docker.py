"""Commands in containers, alone and among those of bash: what they get, give, and end as."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem, pointers
from command_line import CommandLine
from containers import command_line, docker, job, outcome
from dockerd import IMAGE, Dockerd
from gates import attached
from registry import Registry, serving
from running import Service, running

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What volumes may be of."""
    return tmp_path_factory.mktemp("allowed")


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd, allowed: Path
) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    settings = {
        **dockerd.environment,
        "JOBRUNNER_DOCKER_VOLUMES": str(allowed),
        "JOBRUNNER_NETWORKS": "host none-such",
    }
    with running(state_dir, environment=settings) as service:
        yield service


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as registry:
        yield registry


# What it is


def test_files_pass_from_bash_to_a_container_and_back(service: Service, dockerd: Dockerd):
    view = service.run(
        job(
            "echo from bash > file",
            docker("cat file; pwd; echo from the container >> file"),
            "cat file; pwd; stat -c %u:%g file",
        )
    )
    assert (view["State"], view["ExitCode"]) == ("exited", 0)
    own = f"{os.getuid()}:{os.getgid()}"
    said = f"from bash\n/data\nfrom bash\nfrom the container\n{view['WorkingDir']}\n{own}\n"
    assert service.output(view["ID"]).decode() == said
    assert dockerd.containers(view["ID"]) == []


def test_files_it_makes_belong_to_the_services_user(service: Service):
    view = service.run(job(docker("id -u; id -g; touch made; mkdir sub"), "stat -c %u:%g made sub"))
    own = f"{os.getuid()}:{os.getgid()}"
    assert service.output(view["ID"]).decode() == own.replace(":", "\n") + f"\n{own}\n{own}\n"


@pytest.mark.parametrize(
    ("job_dir", "command_dir", "inner"),
    [
        (None, None, "/data"),
        ("a/b", None, "/data/a/b"),
        ("a", "b", "/data/a/b"),
        (None, ".hid.den", "/data/.hid.den"),
        ("a", "/tmp", "/tmp"),
    ],
)
def test_working_directory_is_below_data(
    service: Service, job_dir: str | None, command_dir: str | None, inner: str
):
    keys = {} if command_dir is None else {"WorkingDir": command_dir}
    where = {} if job_dir is None else {"WorkingDir": job_dir}
    view = service.run(job(docker("pwd; touch here && echo made", **keys), **where))
    assert service.output(view["ID"]).decode() == f"{inner}\nmade\n"


def test_the_container_carries_the_jobs_name(service: Service, dockerd: Dockerd):
    job_id = service.submit(job("true", docker("echo ready; sleep 1000")))
    with attached(service, job_id) as output:
        assert next(output) == "ready"
        (name,) = dockerd.containers(job_id)
        about = dockerd.about(name)
    assert name == f"jobrunner-{job_id}-1"
    labels = about["Config"]["Labels"]
    assert (labels["jobrunner.job"], labels["jobrunner.command"]) == (job_id, "1")
    assert (about["HostConfig"]["Init"], about["HostConfig"]["NetworkMode"]) == (True, "none")
    service.kill(job_id, grace=0, wait="true")


# What runs


def test_the_command_line_runs_a_command_in_a_container(service: Service):
    cli = CommandLine(service.url)
    # One word is a line for the container's shell; more are its arguments as they are.
    line = cli("run", "--image", IMAGE, "pwd; echo $0 >&2; exit 7", status=7)
    assert line.stdout == b"/data\n"
    words = cli(
        "run", "--image", IMAGE, "--env", "A=b c", "--", "sh", "-c", 'echo "$A" "$@"', "-", "$A"
    )
    assert words.stdout == b"b c $A\n"
    both = cli("run", "--image", IMAGE, "--slurm", "true", status=2)
    assert b"Expected --slurm or --image, got both." in both.stderr


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "own command\n"),
        ({"CommandLine": "echo 'a  b' $HOME c\\ d"}, "a  b $HOME c d\n"),
        ({"CommandLine": "echo $((1 + 1)) | tr 2 3", "Shell": True}, "3\n"),
        ({"Arguments": ["echo", "$HOME", "a  b", "", "-x"]}, "$HOME a  b  -x\n"),
        ({"Entrypoint": "/bin/echo", "Arguments": ["-n", "x"]}, "x"),
        ({"Entrypoint": "/bin/pwd"}, "/data\n"),
    ],
)
def test_command_line_arguments_and_entrypoint(service: Service, keys: dict[str, Any], said: str):
    view = service.run(job(docker(**keys)))
    assert (service.output(view["ID"]).decode(), view["ExitCode"]) == (said, 0)


def test_image_in_parts_is_the_same_image(service: Service):
    repository, tag = IMAGE.split(":")
    parts = {"Kind": "docker", "Registry": "", "Repository": repository, "Tag": tag}
    view = service.run(job(parts))
    assert service.output(view["ID"]) == b"own command\n"
    assert view["Commands"][0]["Repository"] == repository


def test_environment_reaches_the_container_and_no_process_list(service: Service):
    secret = "secretly \t'\"$HOME# = with a tab "
    long = "x" * 50_000
    variables = {"OF_JOB": "j", "BOTH": "j", "DOCKER_HOST": "tcp://nowhere:1", "PATH": "/bin:/odd"}
    own = {"BOTH": "c", "ODD_2": secret, "LONG": long, "EMPTY": "", "LD_PRELOAD": "/none.so"}
    line = "cat /proc/self/environ | tr '\\0' '\\1'; echo; sleep 1000"
    job_id = service.submit(job(docker(line, Environment=own), Environment=variables))
    with attached(service, job_id) as output:
        text = next(output)
        shown = b"".join(
            line
            for path in Path("/proc").glob("[0-9]*")
            if job_id.encode() in (line := command_line(int(path.name)))
        )
    service.kill(job_id, grace=0, wait="true")
    got = dict(part.partition("=")[::2] for part in text.split("\1") if "=" in part)
    for name, value in {**variables, **own, "FROM_IMAGE": "yes"}.items():
        assert got[name] == value
    assert (got["JOBRUNNER_JOB_ID"], got["JOBRUNNER_COMMAND"]) == (job_id, "0")
    assert "USER" not in got
    assert b"docker\0run\0" in shown
    assert b"nowhere" not in shown
    assert b"secretly" not in shown
    assert b"xxx" not in shown
    assert long not in str(service.show(job_id))


def test_limits_reach_the_container(service: Service, dockerd: Dockerd, allowed: Path):
    (allowed / "input").write_text("for reading\n")
    limits = {"Memory": 64 << 20, "CPUs": 0.5, "PIDs": 50, "ReadOnly": True, "Network": "host"}
    volumes = [f"{allowed}:/in:ro", f"{allowed}/input:/data/input"]
    line = "cat /in/input; touch /in/x; touch /x; touch /data/y && echo ready; sleep 1000"
    job_id = service.submit(job(docker(line, Volumes=volumes, **limits)))
    with attached(service, job_id, stream="stdout") as output:
        assert [next(output), next(output)] == ["for reading", "ready"]
        given = dockerd.about(f"jobrunner-{job_id}-0")["HostConfig"]
    service.kill(job_id, grace=0, wait="true")
    assert given["Memory"] == 64 << 20
    assert given["NanoCpus"] == 500_000_000
    assert given["PidsLimit"] == 50
    assert (given["ReadonlyRootfs"], given["NetworkMode"]) == (True, "host")
    assert service.output(job_id, stream="stderr").count(b"Read-only file system") == 2


def test_the_limits_of_the_job_hold_in_its_containers(service: Service):
    limits = {"Memory": 64 << 20, "PIDs": 50, "OpenFiles": 64, "FileSize": 1 << 20}
    line = (
        "ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max;"
        " head -c 2000000 /dev/zero > big; stat -c %s big; exit 0"
    )
    view = service.run(job(docker(line), docker(line, Memory=32 << 20, PIDs=90), Limits=limits))
    numbers = [int(word) for word in service.output(view["ID"], stream="stdout").split()]
    assert numbers == [64, 64 << 20, 50, 1 << 20, 64, 32 << 20, 50, 1 << 20]


def test_a_limit_that_no_container_can_keep_is_refused(service: Service):
    body = job("true", docker(), Limits={"Memory": 5 << 20})
    answer = assert_problem(service.client.post("/", json=body), 422)
    assert pointers(answer) == ["/Limits/Memory"]


def test_a_volume_or_directory_that_is_not_allowed_is_refused(
    service: Service, allowed: Path, tmp_path: Path
):
    (allowed / "link").symlink_to(tmp_path)
    for source in (str(tmp_path), f"{allowed}/link", f"{allowed}-not", "/"):
        answer = service.client.post("/", json=job("true", docker(Volumes=[f"{source}:/in"])))
        assert pointers(assert_problem(answer, 422)) == ["/Commands/1/Volumes/0"]
    answer = service.client.post("/", json=job(docker(), WorkingDir=str(tmp_path)))
    assert pointers(assert_problem(answer, 422)) == ["/WorkingDir"]
    (allowed / "here").mkdir()
    view = service.run(job(docker("pwd; touch made"), "pwd; ls", WorkingDir=f"{allowed}/here"))
    assert service.output(view["ID"]).decode() == f"/data\n{allowed}/here\nmade\n"


def test_a_volume_that_became_a_link_to_elsewhere_is_an_outcome(
    service: Service, allowed: Path, tmp_path: Path
):
    (allowed / "moving").mkdir()
    swap = f"rmdir {allowed}/moving; ln -s {tmp_path} {allowed}/moving"
    view = service.run(job(swap, docker("true", Volumes=[f"{allowed}/moving:/in"]), "echo no"))
    assert outcome(view, 1) == ("exited", None, None)
    assert "JOBRUNNER_DOCKER_VOLUMES" in view["Error"] or "below one of" in view["Error"]
    assert view["Commands"][2]["State"] == "skipped"


# Streams and ends


def test_streams_are_apart_live_and_binary_safe(service: Service, tmp_path: Path):
    line = "printf 'a\\000\\377\\n'; echo e >&2; sleep 1000"
    job_id = service.submit(job(docker(line)))
    with service.client.stream("GET", f"/{job_id}/attach", params={"stream": "stdout"}) as answer:
        assert next(answer.iter_raw()) == b"a\0\377\n"
        assert service.show(job_id)["State"] == "running"
    service.kill(job_id, grace=0, wait="true")
    assert service.output(job_id, stream="stderr") == b"e\n"


def test_a_hundred_megabytes_come_through_byte_for_byte(service: Service):
    size = 100 << 20
    make = f"head -c {size} /dev/urandom > data; sha256sum data"
    view = service.run(job(make, docker("cat data; cat data >&2")))
    assert (view["ExitCode"], view["Output"]["Complete"]) == (0, True)
    told = service.output(view["ID"], follow="false", stream="stdout")
    checksum, data = told[:64].decode(), told[told.index(b"\n") + 1 :]
    assert len(data) == size
    assert hashlib.sha256(data).hexdigest() == checksum
    assert hashlib.sha256(service.output(view["ID"], stream="stderr")).hexdigest() == checksum


@pytest.mark.parametrize(
    ("line", "code", "signal"),
    [
        ("exit 0", 0, None),
        ("exit 7", 7, None),
        ("exit 125", 125, None),
        ("nonesuch", 127, None),
        ("kill -9 $$", None, "SIGKILL"),
        ("kill -SEGV $$", None, "SIGSEGV"),
        ("exit 255", 255, None),
    ],
)
def test_exit_code_and_signal_are_the_containers(
    service: Service, line: str, code: int | None, signal: str | None
):
    view = service.run(job(docker(line), "echo more"))
    assert outcome(view) == ("exited", code, signal)
    assert (view["Error"], view["Output"]["Complete"]) == (None, True)
    assert view["Commands"][1]["State"] == ("exited" if code == 0 else "skipped")


def test_out_of_memory_is_told(service: Service):
    eat = "x=a; while :; do x=$x$x; done"
    limited = {"Memory": 20 << 20, "ContinueOnFailure": True}
    view = service.run(job(docker(eat, **limited), docker(f"({eat}); exit 0", **limited), "true"))
    assert [c["OOMKilled"] for c in view["Commands"]] == [True, True, False]
    assert outcome(view, 0) == ("exited", None, "SIGKILL")
    assert outcome(view, 1) == ("exited", 0, None)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"Image": "never-made:1", "Pull": "never"}, "There is no image 'never-made:1' here"),
        ({"Arguments": ["nonesuch"]}, "The program could not be started in the container"),
        ({"Entrypoint": "/tmp"}, "The program could not be started in the container"),
        ({"WorkingDir": "/proc/none"}, "The container could not be started"),
        ({"CPUs": 99999}, "Docker refused to make the container"),
        ({"Network": "none-such"}, "The container could not be started: "),
    ],
)
def test_what_cannot_be_started_is_an_outcome_with_an_error(
    service: Service, dockerd: Dockerd, keys: dict[str, Any], error: str
):
    view = service.run(job(docker(**keys), "echo more"))
    assert (view["State"], outcome(view)) == ("exited", ("exited", None, None))
    assert view["Commands"][0]["Error"].startswith(error)
    assert view["Error"] == view["Commands"][0]["Error"]
    assert view["Commands"][1]["State"] == "skipped"
    assert service.output(view["ID"], stream="stderr")
    assert dockerd.containers(view["ID"]) == []


def test_a_program_that_is_not_on_the_jobs_own_path_ends_as_shells_say(service: Service):
    view = service.run(job(docker(Arguments=["nonesuch"], Environment={"PATH": "/odd"})))
    assert outcome(view) == ("exited", 127, None)
    assert b"nonesuch" in service.output(view["ID"], stream="stderr")


def test_what_continues_on_failure_continues_after_an_error(service: Service):
    bad = docker(Image="never-made:1", Pull="never", ContinueOnFailure=True)
    view = service.run(job(bad, "echo more"))
    assert (view["ExitCode"], view["Error"]) == (0, None)
    assert view["Commands"][0]["Error"]


def test_pull_progress_goes_to_the_commands_stderr(
    service: Service, registry: Registry, dockerd: Dockerd
):
    job_id = service.submit(job(docker(Image=registry.image)))
    assert registry.asked.wait(300)
    with attached(service, job_id, stream="stderr") as lines:
        assert "Unable to find image" in next(lines)
        registry.opened.set()
        assert any("Pull complete" in line for line in lines)
    view = service.wait(job_id)
    assert (view["ExitCode"], service.output(job_id, stream="stdout")) == (0, b"pulled\n")
    view = service.run(job(docker(Image=registry.image, Pull="always")))
    assert re.search(rb"up to date", service.output(view["ID"], stream="stderr"))
    dockerd.client("image", "rm", registry.image)


def test_eight_containers_run_at_once(service: Service):
    ids = []
    for number in range(8):
        wait = "mkfifo go; echo up; read -r _ < go"
        ids.append(service.submit(job(docker(f"{wait}; echo {number}; exit {number}"))))
    for job_id in ids:
        with attached(service, job_id) as output:
            assert next(output) == "up"
    for job_id in ids:
        (Path(service.show(job_id)["WorkingDir"]) / "go").write_text("\n")
    views = [service.wait(job_id) for job_id in ids]
    assert [view["ExitCode"] for view in views] == list(range(8))
    assert [service.output(i) for i in ids] == [b"up\n%d\n" % n for n in range(8)]


def test_idempotent_retention_and_clean_treat_it_as_any_job(service: Service):
    view = service.run(job(docker("echo x > file")))
    answer = service.client.post(f"/{view['ID']}/clean")
    assert answer.status_code == 200
    assert not any((service.state_dir / name / view["ID"]).exists() for name in ("jobs", "logs"))


def test_a_container_reads_the_jobs_input_and_has_its_environment(service: Service):
    """The client's standard input is the job's, so it reads the variables elsewhere."""
    content = os.urandom(1 << 20)
    job_id = service.submit(
        job(
            "read -r line; echo bash $line",
            docker("echo $A; sha256sum", Environment={"A": "b"}),
            Stdin=True,
        )
    )
    answer = service.client.post(f"/{job_id}/stdin?eof=true", content=b"one\n" + content)
    assert answer.json() == {"Offset": 4 + len(content)}
    assert service.wait(job_id)["ExitCode"] == 0
    lines = service.output(job_id).decode().splitlines()
    assert lines[:2] == ["bash one", "b"]
    assert lines[2].split()[0] == hashlib.sha256(content).hexdigest()


def test_a_held_container_finds_what_was_submitted_and_what_was_sent(service: Service):
    files = {"in/a": {"Text": "given\n", "Mode": "0755"}}
    held = job(docker("cat in/a sent; [ -x in/a ]; echo out > made"), Files=files, Hold=True)
    job_id = service.submit(held)
    path = f"/{job_id}/files"
    assert service.client.put(f"{path}/sent", content=b"sent\n").status_code == 201
    service.client.post(f"/{job_id}/release")
    view = service.wait(job_id)
    assert outcome(view) == ("exited", 0, None)
    assert service.output(job_id) == b"given\nsent\n"
    assert service.client.get(f"{path}/made").content == b"out\n"


def test_a_container_of_a_job_without_input_reads_nothing(service: Service):
    view = service.run(job(docker("wc -c")))
    assert service.output(view["ID"]).split() == [b"0"]

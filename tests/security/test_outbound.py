"""Every program that is started, and what it gets: compared with the one table of it."""

from __future__ import annotations

import ast
import asyncio
import fnmatch
import json
import os
import pwd
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import outbound
import pytest
from gates import attached
from leaks import descriptors
from outbound import By, Program, User
from running import Service, running

import service
from service.operations.supervisor import upgrade

NOBODY = pwd.getpwnam("nobody")
PROGRAMS = {program.name: program for program in outbound.PROGRAMS}

# A stand-in for a program of others: it writes down what it got, and what its parent did when that
# is a status probe or a force cleanup of ours.
_RECORDER = """#!{python} -ISs
import json, os, sys
def seen(pid):
    def text(name):
        return open(f"/proc/{{pid}}/{{name}}", "rb").read().decode(errors="surrogateescape").split(chr(0))
    links = {{}}
    for number in os.listdir(f"/proc/{{pid}}/fd"):
        try:
            links[number] = os.readlink(f"/proc/{{pid}}/fd/{{number}}")
        except OSError:
            pass
    status = dict(l.split(":", 1) for l in open(f"/proc/{{pid}}/status").read().splitlines())
    return {{"argv": text("cmdline")[:-1], "env": text("environ")[:-1], "fds": links,
            "cwd": os.readlink(f"/proc/{{pid}}/cwd"), "uid": int(status["Uid"].split()[0]),
            "nnp": status["NoNewPrivs"].strip(), "who": {who!r}}}
me = seen("self")
me["argv"] = me["argv"][3:]
me["fds"] = {{n: l for n, l in me["fds"].items() if not l.startswith("/proc/")}}
with open({record!r}, "a") as record:
    record.write(json.dumps(me) + "\\n")
    parent = seen(os.getppid()) if os.getuid() == 0 else {{"argv": []}}
    if "ending.py" in " ".join(parent["argv"]):
        record.write(json.dumps({{**parent, "argv": parent["argv"][1:], "who": "python"}}) + "\\n")
"""
_BWRAP = """
if "--args" in sys.argv:
    number = int(sys.argv[sys.argv.index("--args") + 1])
    with open({record!r}, "a") as record:
        record.write(json.dumps({{"who": "bwrap options", "argv": os.pread(number, 1 << 20, 0).decode().split(chr(0))[:-1]}}) + "\\n")
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""
# It plays a daemon whose containers end with what their image is called.
_DOCKER = """
import os.path
words = sys.argv[1:]
state = {record!r} + "." + next((w for w in words if w.startswith("jobrunner-")), "none")
def once(what):
    path = state + what
    if os.path.exists(path):
        return False
    open(path, "w").close()
    return True
if words[0] == "run":
    sys.stdin.read()
    name = words[words.index("--name") + 1]
    with open({record!r} + "." + name, "w") as file:
        file.write("x")
    if "made:1" in " ".join(words):
        with open(words[words.index("--cidfile") + 1], "w") as file:
            file.write("1")
    sys.exit(0 if "plain:1" in " ".join(words) else 125)
if words[:1] == ["ps"]:
    sys.exit(0)
if words[0] == "inspect" and "--format" in words:
    if words[-1].endswith("-2"):
        sys.stderr.write("Error: No such object")
        sys.exit(1)
    status = "running" if once("inspected") else "exited"
    print(json.dumps({{"Status": status, "ExitCode": 127, "StartedAt": "2026-01-01", "OOMKilled": False}}))
elif words[0] == "inspect":
    print(json.dumps([{{"Config": {{"Env": ["PATH=/bin"], "WorkingDir": "/"}}, "Path": "sh"}}]))
elif words[:2] == ["image", "inspect"]:
    print(json.dumps(["PATH=/bin"]))
elif words[0] == "rm" and once("removed"):
    sys.stderr.write("Error: No such container")
    sys.exit(1)
"""


class Seen:
    """What the stand-ins have recorded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def _stand_in(path: Path, who: str, record: Path, body: str, **names: str) -> None:
    # One that any user may run.
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    text = _RECORDER.format(python=python, who=who, record=str(record))
    path.write_text(text + body.format(record=str(record), **names))
    path.chmod(0o755)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody may pass through: pytest keeps its own to one user."""
    with tempfile.TemporaryDirectory(prefix="outbound-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def seen(open_place: Path) -> Seen:
    record = open_place / "record"
    record.touch()
    record.chmod(0o666)
    return Seen(record)


@pytest.fixture(params=["own user", "run as"])
def observed(
    request: pytest.FixtureRequest, open_place: Path, seen: Seen
) -> Iterator[tuple[Service, bool]]:
    """A service whose programs of others are stand-ins, and whether jobs are another user's."""
    is_other = request.param == "run as"
    if is_other and os.geteuid():
        pytest.skip("only root can have others run as somebody else")
    programs = open_place / "programs"
    programs.mkdir()
    _stand_in(programs / "docker", "docker", seen.path, _DOCKER)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",  # noqa: TID251 - what a person's shell would pass
        "DOCKER_HOST": "unix:///nowhere",
        "SERVICES_OWN": "secret",
        "JOBRUNNER_DOCKER_VOLUMES": "/usr/share",
        "JOBRUNNER_NETWORKS": "host",
        "JOBRUNNER_DOCKER_CAPABILITIES": "CHOWN NET_RAW",
    }
    if (bwrap := shutil.which("bwrap")) is not None:
        _stand_in(programs / "bwrap", "bwrap", seen.path, _BWRAP, real=bwrap)
        environment["JOBRUNNER_SANDBOX"] = "bwrap"
    if is_other:
        environment["JOBRUNNER_RUN_AS"] = "nobody"
    with running(open_place / "state", environment=environment) as service:
        yield service, is_other


# Comparing


def _options_of(program: Program, argv: list[str], options: tuple[outbound.Option, ...]) -> int:
    """Where the operands begin; asserts that each option is in the table."""
    known = {option.name: option for option in options}
    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        name, equals, _ = argv[at].partition("=")
        assert name in known, f"{program.name}: the option {name} has no entry in outbound.py"
        at += 1
        if known[name].takes_value and not equals:
            at += 1
        if name == "--":
            break
    return at


def compare(program: Program, got: dict[str, Any], *, is_other: bool) -> None:
    argv = got["argv"][len(program.argv) :]
    at = _options_of(program, argv, program.options)
    assert program.operands or not argv[at:], (program.name, argv[at:])
    for variable in got["env"]:
        name = variable.partition("=")[0]
        known = any(fnmatch.fnmatchcase(name, pattern) for pattern in program.environment)
        assert known, f"{program.name}: the variable {name} has no entry in outbound.py"
    for number, target in got["fds"].items():
        if got["who"] == "python" and int(number) > 2 and _is_for_its_child(target):
            continue
        pattern = program.descriptors.get(int(number), program.descriptors.get(None))
        assert pattern is not None, f"{program.name}: descriptor {number} ({target}) has no entry"
        assert fnmatch.fnmatchcase(target, pattern), (program.name, number, target)
    if program.directory[0] == "/":
        assert got["cwd"] == "/", program.name
    expected = NOBODY.pw_uid if program.runs_as is User.JOB and is_other else os.geteuid()
    assert got["uid"] == expected, program.name


def _is_for_its_child(target: str) -> bool:
    """What a program of ours has open while it starts the client that looks at it: pipes, and the
    null device until it closes its own end, which on a busy machine may be later than the look."""
    return target.startswith("pipe:") or target == os.devnull


def entry_of(got: dict[str, Any], *, by_worker: bool = False) -> Program:
    """The row that this start is of."""
    argv = got["argv"]
    if got["who"] == "bwrap":
        return PROGRAMS["bwrap" if "--args" in argv else "bwrap (trial)"]
    if got["who"] == "python":
        names = {"probe": "status probe", "remove": "force cleanup"}
        return replace(PROGRAMS[names[argv[3]]], argv=tuple(argv[:4]))
    if argv[0] == "run":
        return PROGRAMS["docker run"]
    if by_worker:
        return PROGRAMS[f"docker {argv[0]} (by a worker)"]
    if argv[0] == "rm" and got["fds"]["1"] == "/dev/null":
        return PROGRAMS["docker rm (after a plain end)"]
    verb = "image inspect" if argv[0] == "image" else argv[0]
    return PROGRAMS[f"docker {verb} (by the status probe and the force cleanup)"]


# Names that change what a loader, a library, a shell, Python or docker's client does.
HOSTILE = [
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "PS4",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "GODEBUG",
    "SSL_CERT_FILE",
    "HTTP_PROXY",
    "TMPDIR",
    "HOME",
    "PATH",
    "IFS",
    "CANARY_OF_JOB",
]


def _job(dice: random.Random) -> dict[str, Any]:
    """One of each Kind and end, with what the dice say in every field."""
    names = dice.sample(HOSTILE, 8)
    variables = {name: f"canary-{dice.random()}" for name in names}
    containers = [
        {
            "Kind": "docker",
            "Image": f"{image}:1",
            "Network": dice.choice(["none", "host"]),
            "ReadOnly": dice.random() < 0.5,
            # A container without a limit that ends well is not asked about.
            **({} if image == "plain" else {"Memory": 64 << 20}),
            "CPUs": 0.5,
            "PIDs": 10,
            "Volumes": ["/usr/share:/in,readonly=false:ro"],
            "Environment": variables,
            "WorkingDir": dice.choice(["/x", "a", "--privileged", "a,source=/"]),
            "ContinueOnFailure": True,
            **dice.choice(
                [
                    {"Shell": True, "CommandLine": "--privileged; true"},
                    {"Entrypoint": "--privileged", "Arguments": ["--volume=/:/x", "-v"]},
                    {"CommandLine": "--privileged -v /:/x"},
                ]
            ),
        }
        for image in ("plain", "made", "none")
    ]
    bash = "exec 7</proc/self/cmdline; exec 7<&-; cat /proc/$$/environ >/dev/null; exit 0"
    hosts = {"CommandLine": bash, "Environment": {"LD_BIND_NOW": "1"}, "Network": "host"}
    return {
        "Commands": [*containers, {"CommandLine": bash, "ContinueOnFailure": True}, hosts],
        "Environment": {name: "canary" for name in names if name not in ("PATH", "LD_PRELOAD")},
        "Limits": {"OpenFiles": 64, "FileSize": 1 << 20},
    }


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_what_every_program_gets_is_in_the_table(
    observed: tuple[Service, bool], seen: Seen, seed: int
) -> None:
    service, is_other = observed
    view = service.run(_job(random.Random(seed)))
    assert [c["State"] for c in view["Commands"]] == ["exited"] * 5, view
    started = set()
    for got in seen.all():
        if got["who"] == "bwrap options":
            _options_of(PROGRAMS["bwrap"], got["argv"], PROGRAMS["bwrap"].hidden)
            continue
        by_worker = got["who"] == "docker" and "JOBRUNNER_COMMAND=" not in "\n".join(got["env"])
        program = entry_of(got, by_worker=by_worker)
        started.add(program.name)
        compare(program, got, is_other=is_other)
        text = "\n".join(got["env"])
        assert "canary" not in text, (program.name, text)
        if program.runs_as is User.JOB:
            assert "SERVICES_OWN" not in text
    wanted = {
        "docker run",
        "docker rm (after a plain end)",
        "docker ps (by a worker)",
        "status probe",
    }
    wanted |= {
        f"docker {verb} (by the status probe and the force cleanup)"
        for verb in ("inspect", "attach", "cp", "image inspect", "rm", "create")
    }
    if shutil.which("bwrap"):
        wanted |= {"bwrap", "bwrap (trial)"}
    assert wanted - started == set()


_BY_PROBE = "squeue, sacct, scontrol, srun --test-only (by the status probe)"
# It plays a controller that has run what it was asked to.
_SQUEUE = """
if "all" in sys.argv:
    print("17|COMPLETED|0|n1|")
"""


@pytest.mark.e2e
@pytest.mark.slow
def test_what_the_programs_of_a_cluster_get_is_in_the_table(open_place: Path, seen: Seen) -> None:
    is_other = os.geteuid() == 0
    programs = open_place / "programs"
    programs.mkdir()
    for name in ("srun", "scancel", "scontrol", "sacct"):
        _stand_in(programs / name, name, seen.path, "")
    _stand_in(programs / "squeue", "squeue", seen.path, _SQUEUE)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",  # noqa: TID251 - what a person's shell would pass
        "SLURM_CONF": "/nowhere",
        "SERVICES_OWN": "secret",
        "JOBRUNNER_SLURM_OPTIONS": "exclusive",
        **({"JOBRUNNER_RUN_AS": "nobody"} if is_other else {}),
    }
    command = {
        "Kind": "slurm",
        "CommandLine": "--privileged; true",
        "Slurm": {"Partition": "p", "Time": 60, "Tasks": 1, "Options": ["--exclusive"]},
        "Environment": dict.fromkeys(HOSTILE, "canary"),
    }
    with running(open_place / "state", environment=environment) as service:
        view = service.run({"Commands": [command], "Environment": {"SLURM_CONF": "/canary"}})
    assert (view["State"], view["Commands"][0]["SlurmJobID"]) == ("exited", "17"), view
    started = set()
    for got in seen.all():
        if got["who"] == "srun":
            program = PROGRAMS["srun"]
        elif got["who"] == "python":  # a parent that starts these
            program = replace(PROGRAMS["status probe of a cluster"], argv=tuple(got["argv"]))
        else:
            by_probe = any(variable.startswith("JOBRUNNER_COMMAND=") for variable in got["env"])
            name = _BY_PROBE if by_probe else "squeue, scontrol, control.sh (by a worker)"
            program = replace(PROGRAMS[name], argv=tuple(got["argv"]))
        started.add(program.name)
        compare(program, got, is_other=is_other)
        carried = [v for v in got["env"] if not v.startswith("JOBRUNNER_STEP_")]
        assert "canary" not in "\n".join(carried), program.name
        assert "SERVICES_OWN" not in "\n".join(got["env"])
        assert "SLURM_CONF=/nowhere" in got["env"]
    assert started >= {"srun", _BY_PROBE, *(("status probe of a cluster",) if is_other else ())}


@pytest.mark.e2e
@pytest.mark.slow
def test_what_bash_and_the_supervisor_get_is_in_the_table(open_place: Path) -> None:
    is_other = os.geteuid() == 0
    environment = {"JOBRUNNER_RUN_AS": "nobody"} if is_other else {}
    with running(open_place / "state", environment=environment) as service:
        job = {
            "CommandLine": "echo $$; sleep 1000 & wait",
            "Environment": {"ANY": "thing", "LD_BIND_NOW": "1"},
        }
        job_id = service.submit(job)
        with attached(service, job_id) as output:
            pid = int(next(output))
            got = look_at(pid)
        assert got["nnp"] == ("1" if is_other else "0")
        compare(PROGRAMS["bash"], got, is_other=is_other)
        compare_supervisor(service, "supervisor", is_other=is_other)
        assert asyncio.run(upgrade(service.state_dir)) is None
        compare_supervisor(service, "supervisor (new code in the same process)", is_other=is_other)
        service.kill(job_id, grace=0, wait="true")


def compare_supervisor(service: Service, name: str, *, is_other: bool) -> None:
    supervisor, program = look_at(service.supervisor_pid()), PROGRAMS[name]
    started = (*program.argv, str(service.state_dir))
    assert tuple(supervisor["argv"][: len(started)]) == started
    compare(replace(program, argv=started, operands=()), supervisor, is_other=is_other)


def look_at(pid: int) -> dict[str, Any]:
    place = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return {
        "who": "itself",
        "argv": (place / "cmdline").read_text().split("\0")[1:-1],
        "env": (place / "environ").read_text().split("\0")[:-1],
        "fds": descriptors(pid),
        "cwd": os.readlink(place / "cwd"),
        "uid": int(status["Uid"].split()[0]),
        "nnp": status["NoNewPrivs"].strip(),
    }


# The code

_STARTS = {
    *(f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")),
    *(f"subprocess.{name}" for name in ("getoutput", "getstatusoutput")),
    *(f"os.{name}" for name in ("system", "popen", "posix_spawn", "posix_spawnp")),
    *(f"os.exec{rest}" for rest in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"os.spawn{rest}" for rest in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell",
    "pty.spawn",
}
# Of whatever object: the C library's are started by, too.
_STARTS_BY_NAME = {"posix_spawn", "posix_spawnp", "execve", "execvpe", "fexecve", "execveat"}


def test_every_module_that_starts_a_program_is_in_the_table() -> None:
    root = Path(service.__file__).parent
    starting = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and (
                node.attr in _STARTS_BY_NAME or ast.unparse(node) in _STARTS
            ):
                name = path.relative_to(root.parent).with_suffix("").as_posix().replace("/", ".")
                starting.add(name.removesuffix(".__init__"))
    assert starting == {name for program in outbound.PROGRAMS for name in program.started_by}


def test_what_a_job_chose_is_in_the_environment_of_its_own_program_only() -> None:
    for program in outbound.PROGRAMS:
        chosen = {n for n, by in program.environment.items() if by not in (By.US, By.OPERATOR)}
        expected = {"bash": {"*"}, "srun": {"JOBRUNNER_STEP_*"}}.get(program.name, set())
        assert chosen == expected, program.name
        assert not chosen or program.runs_as is User.JOB

"""Every program that is started, and all that leaves us for it: one table.

Of each program: whom it runs as, where it begins, each option, variable, path and descriptor that
it gets, and who chose it. Tests start every one for real and compare what it got with this table,
so something that is handed out without an entry here fails them.

Rules
1. What a job chose is in the environment of no program but the job's own. To that of srun, which hands
   its environment on to the job's program, it goes as values of names of ours, which mean nothing there.
2. A program that isn't the job's gets what a job chose as data only: as an operand behind all
   options, as the value of one option, or in a file that it reads as data.
3. A program that runs as the job's user gets nothing of the service's but the base environment; srun
   gets where its cluster is as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class User(StrEnum):
    """Whom a program runs as."""

    JOB = "the job's user (JOBRUNNER_RUN_AS, else the service's)"
    SERVICE = "the service's user"


class By(StrEnum):
    """Who chose a thing."""

    US = "this program: a constant, a number, a name that it made"
    OPERATOR = "the operator: settings, the service's own environment"
    ALLOWED = "the job, of what the operator allows"
    BOUNDED = "the job, of a grammar or a range in which nothing is special to the program"
    JOB = "the job, any text without NUL"


@dataclass(frozen=True, slots=True)
class Option:
    """Of an argument list; `takes_value`: the next argument is its value."""

    name: str
    by: By
    takes_value: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """One way in which a program is started.

    `started_by` are the modules that do it. `argv` stands before the options, `operands` behind
    them; `hidden` are options that are handed over in a file in memory. `environment` has patterns
    of names (`*`: any characters), `descriptors` what may be behind each number, None for any
    other. `directory` is where it begins.
    """

    name: str
    started_by: tuple[str, ...]
    runs_as: User
    directory: tuple[str, By]
    argv: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    operands: tuple[tuple[str, By], ...] = ()
    hidden: tuple[Option, ...] = ()
    environment: Mapping[str, By] = field(default_factory=dict)
    descriptors: Mapping[int | None, str] = field(default_factory=dict)


_BASE: Final = dict.fromkeys(("PATH", "HOME", "USER", "LANG", "TZ", "LC_*"), By.OPERATOR)
# Python sets it for itself and its children where there is no other locale. Source: PEP 538.
_OF_PYTHON: Final = {"LC_CTYPE": By.US}
# A shell sets them for itself and its children.
_OF_SHELL: Final = dict.fromkeys(("PWD", "OLDPWD", "SHLVL", "_"), By.US)
_MARKER: Final = dict.fromkeys(("JOBRUNNER_JOB_ID", "JOBRUNNER_COMMAND", "JOBRUNNER_STATE"), By.US)
_OF_ALL: Final = {
    **_BASE,
    **dict.fromkeys(
        (
            "*_PROXY",
            "*_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "SSH_AUTH_SOCK",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_RUNTIME_DIR",
            "TMPDIR",
        ),
        By.OPERATOR,
    ),
}

_DOCKERS: Final = ("DOCKER_*", "CONTAINER_*", "CONTAINERS_*", "REGISTRY_AUTH_FILE")
# For the programs of one Kind.
_OF_SERVICE: Final = {**_OF_ALL, **dict.fromkeys(_DOCKERS, By.OPERATOR)}
_OF_CLUSTER: Final = {**_OF_ALL, "SLURM_*": By.OPERATOR}

_NULL: Final = "/dev/null"
_PIPE: Final = "pipe:*"
_MEMORY: Final = "/memfd:jobrunner*"
_SCRIPT: Final = "*/control.sh"  # as the shell that reads it has it open
_LOG: Final = "*/supervisor.log"
# Into the job's output.
_OF_COMMAND: Final[dict[int | None, str]] = {0: _NULL, 1: _PIPE, 2: _PIPE}
_CAPTURED: Final = _OF_COMMAND

_IN_ROOT: Final = ("/", By.US)
_IN_JOB: Final = ("the command's working directory, opened as the job's user", By.JOB)
_IN_SERVICE: Final = ("the service's own", By.OPERATOR)

# What makes a sandbox: paths of the system, of the state directory, of the job.
_SANDBOX: Final = (
    *(Option(name, By.US) for name in ("--dev", "--proc", "--tmpfs", "--cap-drop")),
    *(
        Option(f"--unshare-{what}", By.US, takes_value=False)
        for what in ("pid", "ipc", "uts", "net")
    ),
    Option("--ro-bind", By.US),
    Option("--ro-bind-try", By.US),
    Option("--bind", By.US),
)
_NAME: Final = ("name", By.US)  # of a container: jobrunner-ID-N
_IMAGE: Final = ("image", By.ALLOWED)

# As another user, or with limits, and in any other case.
_SPAWNED: Final = ("service.supervisor.process.credentials", "service.supervisor.process.launch")
_UTF8: Final = ("-X", "utf8")

PROGRAMS: Final = (
    Program(
        "bash",
        _SPAWNED,
        User.JOB,
        _IN_JOB,
        options=(Option("-c", By.JOB),),
        environment={"*": By.JOB},
        descriptors=_OF_COMMAND,
    ),
    Program(
        "bwrap",
        _SPAWNED,
        User.JOB,
        _IN_JOB,
        options=(Option("--args", By.US), Option("--", By.US, takes_value=False)),
        operands=(("bash", By.OPERATOR), ("-c", By.US), ("command line", By.JOB)),
        hidden=(
            *_SANDBOX,
            Option("--clearenv", By.US, takes_value=False),
            Option("--setenv", By.JOB),
            Option("--chdir", By.JOB),
        ),
        environment={**_BASE, **_MARKER},
        descriptors={**_OF_COMMAND, None: _MEMORY},
    ),
    Program(
        "bwrap (trial)",
        ("service.kinds.sandbox_trial",),
        User.JOB,
        _IN_ROOT,
        options=(*_SANDBOX, Option("--", By.US, takes_value=False)),
        operands=(("/bin/true", By.US),),
        environment=_BASE,
        descriptors=_CAPTURED,
    ),
    Program(
        "docker run",
        _SPAWNED,
        User.SERVICE,
        _IN_ROOT,
        argv=("run",),
        options=(
            Option("--name", By.US),
            Option("--cidfile", By.US),
            Option("--init", By.US, takes_value=False),
            Option("--pull", By.BOUNDED),
            Option("--label", By.US),
            Option("--log-driver", By.US),
            Option("--env-file", By.US),  # its standard input, in which is By.JOB
            Option("--user", By.OPERATOR),
            Option("--network", By.ALLOWED),
            Option("--security-opt", By.US),
            Option("--cap-drop", By.US),
            Option("--cap-add", By.OPERATOR),
            Option("--workdir", By.JOB),  # in the container, absolute
            Option("--mount", By.ALLOWED),
            Option("--read-only", By.BOUNDED, takes_value=False),
            Option("--memory", By.BOUNDED),
            Option("--memory-swap", By.BOUNDED),
            Option("--cpus", By.BOUNDED),
            Option("--pids-limit", By.BOUNDED),
            Option("--ulimit", By.BOUNDED),
            Option("--entrypoint", By.JOB),
        ),
        operands=(_IMAGE, ("arguments", By.JOB)),
        environment={**_OF_SERVICE, **_MARKER},
        descriptors={**_OF_COMMAND, 0: _MEMORY},
    ),
    Program(
        "docker rm (after a plain end)",
        ("service.supervisor.job.exit_hooks",),
        User.SERVICE,
        _IN_ROOT,
        argv=("rm",),
        options=(
            Option("--force", By.US, takes_value=False),
            Option("--volumes", By.US, takes_value=False),
        ),
        operands=(_NAME,),
        environment={**_OF_SERVICE, "JOBRUNNER_COMMAND": By.US},
        descriptors={0: _NULL, 1: _NULL, 2: _LOG},
    ),
    Program(
        "status probe",
        _SPAWNED,
        User.SERVICE,
        _IN_ROOT,
        argv=("-I", "-S", "ending.py", "probe"),
        operands=(
            ("client", By.OPERATOR),
            _NAME,
            _IMAGE,
            ("file of the container's ID", By.US),
            ("status", By.BOUNDED),
        ),
        environment={**_OF_SERVICE, **_MARKER, **_OF_PYTHON},
        descriptors={**_OF_COMMAND, 0: _MEMORY},
    ),
    Program(
        "force cleanup",
        ("service.supervisor.job.exit_hooks",),
        User.SERVICE,
        _IN_ROOT,
        argv=("-I", "-S", "ending.py", "remove"),
        operands=(("client", By.OPERATOR), _NAME, _IMAGE, ("labels", By.US)),
        environment={**_OF_SERVICE, "JOBRUNNER_COMMAND": By.US, **_OF_PYTHON},
        descriptors={0: _NULL, 1: _NULL, 2: _LOG},
    ),
    *(
        Program(
            f"docker {' '.join(argv)} (by the status probe and the force cleanup)",
            ("service.kinds.docker.ending",),
            User.SERVICE,
            _IN_ROOT,
            argv=argv,
            options=options,
            operands=(_NAME, _IMAGE),
            environment={**_OF_SERVICE, **_MARKER, **_OF_PYTHON},
            descriptors={0: _NULL, 1: _PIPE, 2: "*"},
        )
        for argv, options in (
            (("inspect",), (Option("--type", By.US), Option("--format", By.US))),
            (("attach",), (Option("--no-stdin", By.US, takes_value=False),)),
            (("kill",), (Option("--signal", By.BOUNDED),)),
            (("cp",), (Option("--follow-link", By.US, takes_value=False),)),
            (("image", "inspect"), (Option("--format", By.US),)),
            (
                ("rm",),
                (
                    Option("--force", By.US, takes_value=False),
                    Option("--volumes", By.US, takes_value=False),
                ),
            ),
            (
                ("create",),
                tuple(Option(name, By.US) for name in ("--name", "--pull", "--network", "--label")),
            ),
        )
    ),
    *(
        Program(
            f"docker {verb} (by a worker)",
            ("service.kinds.docker.ending",),
            User.SERVICE,
            _IN_SERVICE,
            argv=(verb,),
            options=options,
            operands=(("names", By.US),),
            environment=_OF_SERVICE,
            descriptors=_CAPTURED,
        )
        for verb, options in (
            ("version", (Option("--format", By.US),)),
            (
                "ps",
                (
                    Option("--all", By.US, takes_value=False),
                    Option("--filter", By.US),
                    Option("--format", By.US),
                ),
            ),
            (
                "rm",
                (
                    Option("--force", By.US, takes_value=False),
                    Option("--volumes", By.US, takes_value=False),
                ),
            ),
        )
    ),
    Program(
        "srun",
        _SPAWNED,
        User.JOB,
        _IN_JOB,
        options=(
            Option("-QQ", By.US, takes_value=False),
            Option("--unbuffered", By.US, takes_value=False),
            *(
                Option(name, By.US, takes_value=False)  # with `=`
                for name in ("--export", "--propagate", "--job-name", "--comment", "--input")
            ),
            *(
                Option(name, By.BOUNDED, takes_value=False)  # with `=`
                for name in (
                    *("--partition", "--account", "--qos", "--time", "--cpus-per-task", "--mem"),
                    *("--gpus", "--nodes", "--ntasks", "--constraint"),
                )
            ),
            Option("--exclusive", By.ALLOWED, takes_value=False),  # as every option that is listed
            Option("--", By.US, takes_value=False),
        ),
        operands=(("bash", By.US), ("-c", By.US), ("a script of names of ours", By.US)),
        environment={
            **_BASE,
            **_MARKER,
            "SLURM_*": By.OPERATOR,
            "JOBRUNNER_STEP_*": By.JOB,
        },
        descriptors=_OF_COMMAND,
    ),
    Program(
        "status probe of a cluster",
        _SPAWNED,
        User.SERVICE,
        _IN_ROOT,
        argv=("control.sh", "probe"),
        operands=(
            ("squeue", By.OPERATOR),
            ("user", By.OPERATOR),
            ("name of Slurm's job", By.US),
            ("Python, ending.py, sacct, srun", By.OPERATOR),
            ("srun's options", By.BOUNDED),
            ("status", By.BOUNDED),
        ),
        environment={**_OF_CLUSTER, **_MARKER},
        descriptors={**_OF_COMMAND, 0: _MEMORY, None: _SCRIPT},
    ),
    *(
        Program(
            f"{what} of a cluster",
            ("service.supervisor.job.exit_hooks",),
            User.SERVICE,
            _IN_ROOT,
            argv=("control.sh", verb),
            operands=(
                ("squeue", By.OPERATOR),
                ("user", By.OPERATOR),
                ("name of Slurm's job", By.US),
                ("scancel", By.OPERATOR),
                ("signal", By.BOUNDED),
            ),
            environment={**_OF_CLUSTER, "JOBRUNNER_COMMAND": By.US},
            descriptors={0: _NULL, 1: _NULL, 2: _LOG, None: _SCRIPT},
        )
        for what, verb in (("force cleanup", "cancel"), ("signaller", "signal"))
    ),
    Program(
        "squeue, sacct, scontrol, srun --test-only (by the status probe)",
        ("service.kinds.slurm.ending",),
        User.SERVICE,
        _IN_ROOT,
        operands=(("the job's name or number", By.US), ("srun's options", By.BOUNDED)),
        environment={**_OF_CLUSTER, **_MARKER, **_OF_PYTHON, **_OF_SHELL},
        descriptors={0: _NULL, 1: _PIPE, 2: "*"},
    ),
    Program(
        "squeue, scontrol, control.sh (by a worker)",
        ("service.kinds.slurm.controller",),
        User.SERVICE,
        _IN_SERVICE,
        operands=(("names", By.US),),
        environment=_OF_CLUSTER,
        descriptors=_CAPTURED,
    ),
    Program(
        "supervisor",
        ("service.link.launch",),
        User.SERVICE,
        _IN_ROOT,
        argv=(*_UTF8, "-P", "-m", "service.supervisor"),
        options=tuple(
            Option(name, By.US)
            for name in ("--cgroup", "--silent-s", "--ready-fd", "--soft-limit", "--start-lock")
        ),
        operands=(("state directory", By.OPERATOR),),
        environment={"*": By.OPERATOR},
        descriptors={0: _NULL, 1: _LOG, 2: _LOG, None: "*"},
    ),
    Program(
        "supervisor (asked whether it can go on)",
        ("service.supervisor.upgrade",),
        User.SERVICE,
        _IN_ROOT,
        argv=(*_UTF8, "-P", "-m", "service.supervisor"),
        options=(Option("--can-resume", By.US),),
        environment={"*": By.OPERATOR},
        descriptors={0: _NULL, 1: _NULL, 2: _LOG},
    ),
    Program(
        "supervisor (new code in the same process)",
        ("service.supervisor.upgrade",),
        User.SERVICE,
        _IN_ROOT,
        argv=(*_UTF8, "-P", "-m", "service.supervisor"),
        options=(
            Option("--cgroup", By.US),
            Option("--stay", By.US, takes_value=False),
            Option("--resume-fd", By.US),
        ),
        operands=(("state directory", By.OPERATOR),),
        environment={"*": By.OPERATOR},
        descriptors={0: _NULL, 1: _LOG, 2: _LOG, None: "*"},
    ),
    Program(
        "search",  # what is searched for comes through the socket
        ("service.output.search.pool",),
        User.SERVICE,
        _IN_ROOT,
        argv=("-P",),
        options=(Option("-c", By.US),),
        operands=(("directory of the package", By.US),),
        environment={"*": By.OPERATOR},
        descriptors={0: "socket:*", None: "*"},
    ),
    Program(
        "sanic (what `jobrunner serve` becomes)",
        ("service.cli.serve",),
        User.SERVICE,
        _IN_SERVICE,
        argv=(*_UTF8, "-m", "sanic", "service.app"),
        operands=(("Sanic's own options", By.OPERATOR),),
        environment={"*": By.OPERATOR},
        descriptors={None: "*"},
    ),
    Program(
        "the service's own programs (again, where the locale isn't UTF-8)",
        ("service.host.utf8_mode",),
        User.SERVICE,
        _IN_SERVICE,
        argv=_UTF8,
        operands=(("what it was started with", By.OPERATOR),),
        environment={"*": By.OPERATOR},
        descriptors={None: "*"},
    ),
)

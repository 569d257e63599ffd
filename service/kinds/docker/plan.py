"""From a command in a container to the client's argument list, and to what follows its end."""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from service.kinds.docker import ending, words
from service.kinds.docker.allowed_images import canonical, is_allowed
from service.kinds.docker.environment import is_passable, lines
from service.kinds.docker.networks import why_not
from service.kinds.docker.settings import DockerSettings
from service.kinds.docker.sources import container_user, source
from service.kinds.docker.spec import DockerCommand, reference
from service.kinds.docker.volumes import NotAllowed, mount, volume
from service.kinds.plan import CannotRun, Context, Plan
from service.settings import Settings

# Where the job's working directory is in the container.
DATA: Final = "/data"
NAME_PREFIX: Final = "jobrunner-"
STATE_LABEL: Final = "jobrunner.state"
JOB_LABEL: Final = "jobrunner.job"
COMMAND_LABEL: Final = "jobrunner.command"
# Wait statuses of the client that don't tell how the container ended: its own failures begin at
# 125, and a container that a signal ended has 128 and more. Source: docker-run(1), EXIT STATUS.
_UNCLEAR: Final = ((-64, -1), (125, 255))
# The client leaves a container whose terminal it serves when these are typed, and has no way to be
# told that none do. Each but the last is held back until it is clear that it isn't the beginning of
# them: so the first one is a key that is seldom typed. Source: docker-run(1), --detach-keys.
_DETACH_KEYS: Final = "ctrl-^,ctrl-],ctrl-^,ctrl-],ctrl-^,ctrl-],ctrl-^,ctrl-]"
_ANY: Final = ((-64, 255),)


def plan(spec: DockerCommand, context: Context) -> Plan:
    """`docker run` as a child of the supervisor, without a program of ours in between.

    Raises: CannotRun.
    """
    settings = context.settings
    client = client_of(settings)
    name = f"{NAME_PREFIX}{context.job_id}-{context.number}"
    image = reference(spec)
    cid_file = context.files.container_id(context.number)
    labels = (
        f"{STATE_LABEL}={state_token(settings.state_dir)}",
        f"{JOB_LABEL}={context.job_id}",
        f"{COMMAND_LABEL}={context.number}",
    )
    variables = {
        **settings.container_environment,
        **context.term,
        **context.environment,
        **spec.environment,
        **context.marker,
    }
    docker = settings.of(DockerSettings)
    network = spec.network or docker.docker_network
    _check(image, network, variables, settings)
    if docker.docker_images:
        image = canonical(image)
    argv = [client, "run", "--name", name, "--cidfile", cid_file, "--init", "--pull", spec.pull]
    for label in labels:
        argv += ["--label", label]
    argv += ["--log-driver", "none", "--env-file", "/dev/stdin"]
    env_file = len(argv) - 1
    if context.has_stdin:
        argv.append("--interactive")
    if context.terminal is not None:
        argv += ["--tty", "--detach-keys", _DETACH_KEYS]
    argv += ["--user", container_user(settings), "--network", network, *_privileges(settings)]
    argv += ["--workdir", _inner_directory(spec, context)]
    for bound in _mounts(spec, context):
        argv += ["--mount", bound]
    argv += [*_limits(spec, context.limits), *_what_runs(spec, image)]
    # With a terminal the client passes no signal on: it resizes the container's, and the others are
    # typed there, or end the client.
    passed_on = ending.PASSED_ON if context.terminal is None else (signal.SIGWINCH,)
    program = (sys.executable, "-I", "-S", ending.__file__)
    return Plan(
        argv=tuple(argv),
        # The client and what it reads are the operator's: the job's user has no part in it.
        as_service_user=True,
        programs_of=DockerSettings,
        input=lines(variables),
        input_index=env_file if context.has_stdin else 0,
        passes_on=tuple(map(int, passed_on)),
        status_probe=(*program, "probe", client, name, image, cid_file),
        # Where memory is limited, a command whose child ran out of it may exit with any status.
        probe_if=_UNCLEAR if _lower(spec.memory, context.limits.get("memory")) is None else _ANY,
        cleanup=(client, "rm", "--force", "--volumes", name),
        force_cleanup=(*program, "remove", client, name, image, *labels),
    )


def host_directory(spec: DockerCommand) -> str | None:
    """What of the working directory is on this host: an absolute one is in the container."""
    is_inner = spec.working_dir is not None and spec.working_dir.startswith("/")
    return None if is_inner else spec.working_dir


def _check(image: str, network: str, variables: Mapping[str, str], settings: Settings) -> None:
    """Again what was checked when the job came: what is allowed may have changed since."""
    if not is_allowed(image, settings.of(DockerSettings).docker_images):
        raise CannotRun(f"The image {image!r} is not allowed any more (JOBRUNNER_DOCKER_IMAGES).")
    if (why := why_not(network, settings)) is not None:
        raise CannotRun(f"The network {network!r} may not be used: {why}.")
    for name, value in variables.items():
        if not is_passable(name, value):
            raise CannotRun(f"The variable {name!r} can't be handed to a container.")


def _privileges(settings: Settings) -> list[str]:
    """No more than a user has, whatever set-user-ID programs the image has; and no capabilities,
    which root in the container would have.
    """
    options = ["--security-opt", "no-new-privileges", "--cap-drop", "ALL"]
    for capability in settings.of(DockerSettings).docker_capabilities:
        options += ["--cap-add", capability]
    return options


def client_of(settings: Settings) -> str:
    """The client that the service's own PATH finds."""
    # Where there is none the bare name goes to the supervisor, whose refusal names it.
    program = settings.of(DockerSettings).docker
    return _find(program, settings.base_environment["PATH"]) or program


@functools.cache
def _find(program: str, path: str) -> str | None:
    return shutil.which(program, path=path)


def state_token(state_dir: Path) -> str:
    """What tells the containers of one state directory from those of another."""
    return hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]


def _is_own(context: Context) -> bool:
    return context.files.beneath_work(context.root) is not None


def _inner_directory(spec: DockerCommand, context: Context) -> str:
    """Where the command works, as the container sees it."""
    outer = ""
    if _is_own(context):
        outer = os.path.relpath(context.root, context.files.work)
    return posixpath.normpath(posixpath.join(DATA, outer, spec.working_dir or ""))


def _mounts(spec: DockerCommand, context: Context) -> list[str]:
    settings = context.settings
    try:
        # What is above the job's own directory is the service's.
        root = context.files.work if _is_own(context) else source(context.root, settings)
        volumes = [
            mount(source(asked.source, settings), asked.target, read_only=asked.is_read_only)
            for asked in map(volume, spec.volumes)
        ]
    except NotAllowed as exc:
        raise CannotRun(f"A directory may not be given to the container: {exc}.") from exc
    return [mount(root, DATA), *volumes]


def _limits(spec: DockerCommand, of_job: Mapping[str, Any]) -> list[str]:
    """The command's own, within those of its job: the daemon's children know nothing of these."""
    options = []
    if spec.read_only:
        options.append("--read-only")
    if (memory := _lower(spec.memory, of_job.get("memory"))) is not None:
        # Equal to the memory, it leaves no swap beside it.
        options += ["--memory", str(memory), "--memory-swap", str(memory)]
    if (cpus := _lower(spec.cpus, of_job.get("cpus"))) is not None:
        options += ["--cpus", f"{cpus:.9f}".rstrip("0").rstrip(".")]
    if (pids := _lower(spec.pids, of_job.get("pids"))) is not None:
        options += ["--pids-limit", str(pids)]
    for name, ulimit in (("open_files", "nofile"), ("file_size", "fsize")):
        if name in of_job:
            options += ["--ulimit", f"{ulimit}={of_job[name]}"]
    return options


def _lower(one: float | None, other: float | None) -> float | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _what_runs(spec: DockerCommand, image: str) -> list[str]:
    """Options end with the image: what follows is the container's."""
    if spec.shell:
        return ["--entrypoint", "sh", image, "-c", spec.command_line or ""]
    entrypoint = [] if spec.entrypoint is None else [f"--entrypoint={spec.entrypoint}"]
    if spec.command_line is not None:
        return [*entrypoint, image, *words.split(spec.command_line)]
    return [*entrypoint, image, *(spec.arguments or [])]

"""Commands in bubblewrap: what they see of this host, and what they can change of it; or in a PID
namespace alone.

The system is read-only; /tmp, /run, /dev and /proc are the command's own; of the state directory
there is the job's working directory, which can be written to; there are no other processes, no
capabilities, and no network unless it was asked for. The sandbox and all in it are children of the
supervisor, so they are killed as any tree is. Source: bwrap(1).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.kinds.plan import CannotRun, Context, Plan

PROGRAM: Final = "bwrap"
# They are the sandbox's own, so nothing of the host can be a working directory there.
_OWN: Final = ("/tmp", "/run", "/var/run", "/dev", "/proc")  # noqa: S108 - names, no files
# Where a name server's address may be, in /run, which the rest of is sockets to the host's daemons.
_RESOLVERS: Final = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager")
# What makes a PID namespace alone, with the /proc of its own that programs need there.
NAMESPACE: Final = ("--dev-bind", "/", "/", "--proc", "/proc", "--unshare-pid")
# bwrap takes 9000 arguments, of which a variable needs three. Source: MAX_ARGS in bubblewrap.c.
_MAX_VARIABLES: Final = 2900
# Source: setsid(1) of util-linux.
_SETSID: Final = "setsid"


def in_sandbox(
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    context: Context,
    directory: str,
    *,
    network: bool,
    script: str | None = None,
) -> Plan:
    """`argv` with this `environment` in a sandbox, beginning in `directory`; it reads the file
    `script` of the state directory. Raises: CannotRun.

    The variables reach the command as options, not through the environment of bwrap, which runs
    outside: one that names a library would run the job's code there.
    """
    own = context.files.work
    if context.files.beneath_work(directory) is None:
        try:
            real = os.path.realpath(directory)
        except OSError as exc:  # a link that was exchanged between a look at it and its reading
            sentence = f"The working directory {directory!r} changes while it is looked at."
            raise CannotRun(sentence) from exc
        if hides(real, context.settings.state_dir):
            raise CannotRun(f"The working directory {directory!r} is not in the sandbox.")
    if len(environment) > _MAX_VARIABLES:
        raise CannotRun(
            f"A command in a sandbox has at most {_MAX_VARIABLES} variables, this one has"
            f" {len(environment)}."
        )
    made = options(str(context.settings.state_dir), own, network=network)
    if script is not None:
        made += ["--ro-bind", script, script]
    for name, value in environment.items():
        made += ["--setenv", name, value]
    program = find(context.path) or PROGRAM
    return Plan(
        # -1 is replaced by the number of the descriptor; without that bwrap refuses to run.
        argv=(program, "--args", "-1", "--", *_within(argv, context)),
        fd_options_index=2,
        fd_options=("--clearenv", *made, "--chdir", directory),
        sets_no_new_privs=True,
        is_wrapped=True,
        takes_terminal=context.terminal is not None,
    )


def options(state_dir: str | None, own: str | None, *, network: bool) -> list[str]:
    """What makes the sandbox of one command; without directories: of a trial."""
    made = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    made += ["--tmpfs", "/tmp", "--tmpfs", "/run"]  # noqa: S108 - inside
    made += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
    if network:
        for path in _RESOLVERS:
            made += ["--ro-bind-try", path, path]
    else:
        made.append("--unshare-net")
    if state_dir is not None and own is not None:
        made += ["--tmpfs", state_dir, "--bind", own, own]
    return made


def hides(real: str, state_dir: Path) -> bool:
    """Whether the host's file of this name, one without links, isn't there in the sandbox."""
    return any(_is_below(real, os.path.realpath(hidden)) for hidden in (*_OWN, state_dir))


def in_pid_namespace(
    argv: tuple[str, ...], environment: Mapping[str, str], context: Context, directory: str
) -> Plan:
    """`argv` with this `environment` in a PID namespace, beginning in `directory`: it sees no other
    process, and none of its own outlives it. All else is the host's.

    bwrap may have the job's variables here: it does nothing that the job itself may not do.
    """
    program = find(context.path) or PROGRAM
    return Plan(
        argv=(program, *NAMESPACE, "--chdir", directory, "--", *_within(argv, context)),
        environment=environment,
        sets_no_new_privs=True,
        is_wrapped=True,
        takes_terminal=context.terminal is not None,
    )


def _within(argv: tuple[str, ...], context: Context) -> tuple[str, ...]:
    """`argv` in a session of its own, if there is a terminal, which becomes the one that controls
    that session: what is typed to interrupt the command would else end bwrap, which is in its
    process group and has no handler. Raises: CannotRun.
    """
    if context.terminal is None:
        return argv
    if (program := shutil.which(_SETSID, path=context.path)) is None:
        raise CannotRun(f"The program {_SETSID!r} was not found; a terminal in a sandbox needs it.")
    return (program, "--ctty", *argv)


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def find(path: str) -> str | None:
    """The program, where this search path has it."""
    return shutil.which(PROGRAM, path=path)

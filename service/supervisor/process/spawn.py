"""Spawning one command: its own session, its pipes, nothing inherited from the supervisor.

The child has descriptors 0–2 and those that are passed to it, default signal dispositions and the
soft RLIMIT_NOFILE that the supervisor was started with. It is spawned without a copy of this
process's memory, so the cost doesn't grow with the supervisor, but for a child that becomes another
user, or has limits: that takes a fork.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from service.host.identity import Identity
from service.supervisor.process.credentials import aside as in_thread
from service.supervisor.process.credentials import popen
from service.supervisor.process.launch import Launch, can_launch
from service.supervisor.process.refusal import Refused, sentence
from service.supervisor.process.terminal import Terminal, take_control

_LAST_STANDARD: Final = 2


@dataclass(frozen=True, slots=True)
class Spawned:
    """`stderr` is None when the process writes both streams into the pipe of `stdout`, or into a
    terminal, whose master is `stdout` then.
    """

    pid: int
    stdout: int
    stderr: int | None

    @property
    def streams(self) -> int:
        """How many pipes there are."""
        return 1 if self.stderr is None else 2


class Descriptors:
    """The supervisor's own limit on descriptors, and the one its children get.

    The supervisor raises its soft limit to the hard one; a command gets the old one back, since
    programs that use select(2) break above 1024. Python makes a pipe of its own while it spawns,
    when the child's limit is already in force; two low descriptors are reserved for it, since the
    lowest free ones are taken first.
    """

    def __init__(self, child_soft: int | None = None) -> None:
        """`child_soft`: the soft limit that the first image of this process was started with."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.child_soft = soft if child_soft is None else child_soft
        self._child = (self.child_soft, hard)
        self._own = (hard, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._own)
        _close_all_on_exec()
        self.null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._reserve = [os.dup(self.null), os.dup(self.null)]

    @property
    def limit(self) -> int:
        """How many descriptors the supervisor may have."""
        return self._own[0]

    def free(self) -> int:
        """How many more it may open; the cost grows with those that are open."""
        with os.scandir("/proc/self/fd") as entries:
            return self.limit - sum(1 for _ in entries) + 1  # the scan's own is among them

    def __enter__(self) -> None:
        for descriptor in self._reserve:
            os.close(descriptor)
        self._reserve.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, self._child)

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._own)
        self._reserve = [os.dup(self.null), os.dup(self.null)]

    def close(self) -> None:
        for descriptor in (self.null, *self._reserve):
            os.close(descriptor)
        self._reserve.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, self._child)


def _close_all_on_exec() -> None:
    """Whatever this process was started with: a command that is spawned inherits none of it."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one of the listing itself
            if int(name) > _LAST_STANDARD:
                os.set_inheritable(int(name), False)  # noqa: FBT003 - os takes it by position only


def spawn(  # noqa: PLR0913 - each is one thing that a process is made of
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str | None,
    *,
    descriptors: Descriptors,
    placement: AbstractContextManager[None],
    stdin: int | None = None,
    preexec: Callable[[], None] | None = None,
    identity: Identity | None = None,
    no_new_privs: bool = False,
    passed: tuple[int, ...] = (),
    one_pipe: bool = False,
    blocked: Collection[int] = (),
    aside: bool = False,
    terminal: Terminal | None = None,
    controls: bool = True,
) -> Spawned:
    """Start `argv` in `directory` (None: the current one). `placement` is entered around the fork,
    to place the child in a cgroup. `stdin` is the caller's descriptor; without one the child reads
    /dev/null. `preexec` is called in the child, which costs a fork instead of a vfork; no other
    thread of this process runs meanwhile, so it may be Python. With an `identity` the child becomes
    that user, with its groups; with `no_new_privs` no program that it executes gains
    privileges. `passed` are descriptors of the caller's that the child has besides 0 to 2. With
    `one_pipe` both streams of output are one pipe, which keeps their order. `blocked` is the
    child's signal mask, where it has no `preexec`. With `aside` it isn't
    on the list of the main thread's children, where it is this process's user. With a `terminal`
    that is its input and its output, and unless `controls` is false its controlling terminal.

    The caller owns the pipe ends that come back, and reaps the pid.
    Raises: Refused, and then nothing is left behind.
    """
    pipes: list[int] = []
    try:
        if terminal is not None:
            one_pipe, pipes = True, [*terminal.ends()]
            stdin = pipes[1]
        else:
            for _ in range(1 if one_pipe else 2):
                pipes += os.pipe2(os.O_CLOEXEC)
            if identity is not None:
                _give(pipes, identity)
        files = (descriptors.null if stdin is None else stdin, pipes[1], pipes[-1])
        controlling = terminal if controls else None
        launched = None
        if identity is None and preexec is None and _can_launch(controlling):
            launched = Launch(
                argv,
                environment,
                directory,
                files=files,
                passed=passed,
                blocked=blocked,
                terminal=controlling.path if controlling is not None else None,
            )
        with descriptors, placement:
            if launched is not None:
                by_another = aside or no_new_privs
                pid = (
                    in_thread(launched.start, no_new_privs=no_new_privs)
                    if by_another
                    else launched.start()
                )
            else:
                pid = _popen(
                    argv,
                    environment,
                    directory,
                    files=files,
                    preexec=preexec if controlling is None else partial(_take_control, preexec),
                    identity=identity,
                    no_new_privs=no_new_privs,
                    passed=passed,
                    blocked=blocked,
                )
    except (OSError, ValueError, subprocess.SubprocessError) as exc:
        for end in pipes:
            os.close(end)
        if isinstance(exc, subprocess.SubprocessError):
            raise Refused("The command's limits could not be put in force.") from exc
        raise Refused(sentence(exc, argv[0], directory)) from exc
    for end in pipes[1::2]:
        os.close(end)
    return Spawned(pid, pipes[0], None if one_pipe else pipes[2])


def _popen(  # noqa: PLR0913 - the same
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str | None,
    *,
    files: tuple[int, int, int],
    preexec: Callable[[], None] | None,
    identity: Identity | None,
    no_new_privs: bool,
    passed: tuple[int, ...],
    blocked: Collection[int],
) -> int:
    child = popen(
        list(argv),
        no_new_privs=no_new_privs,
        blocked=blocked,
        stdin=files[0],
        stdout=files[1],
        stderr=files[2],
        cwd=directory,
        env=dict(environment),
        start_new_session=True,
        restore_signals=True,
        preexec_fn=None if preexec is None else partial(_unblock_and, preexec),
        user=None if identity is None else identity.uid,
        group=None if identity is None else identity.gid,
        extra_groups=None if identity is None else identity.groups,
        pass_fds=passed,
    )
    # The reaper waits for every child; a Popen that thinks its child lives would wait for it too,
    # and could take the exit status of a later process with the same pid.
    child.returncode = 0
    return child.pid


def _can_launch(terminal: Terminal | None) -> bool:
    """The child opens the terminal by its name, as this process's user."""
    return can_launch() and (terminal is None or terminal.owner == os.geteuid())


def _take_control(preexec: Callable[[], None] | None) -> None:
    take_control()
    if preexec is not None:
        preexec()


def _unblock_and(preexec: Callable[[], None]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    preexec()


def _give(pipes: list[int], identity: Identity) -> None:
    """A pipe belongs to who made it, and only its owner may open `/dev/stdout`, which is one of its
    ends by another name.
    """
    for end in pipes[1::2]:
        os.fchown(end, identity.uid, identity.gid)

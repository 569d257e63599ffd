"""What a program gets besides its argument list and its environment: files.

`input` is its standard input. `fd_options` are arguments that it reads from a descriptor, each
ended by NUL, so that no process list shows them. The message says which item of `argv` becomes the
number of that descriptor. Both are files in memory; a script is a file of the job's directory.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass

from service.files.job import JobFiles
from service.host.identity import Identity
from service.link.to_supervisor import Start
from service.supervisor.job.exit_hooks import memory_file
from service.supervisor.job.script import write_script


@dataclass(frozen=True, slots=True)
class Handed:
    """`passed` are descriptors that the child inherits besides 0 to 2."""

    argv: list[str]
    stdin: int | None = None
    passed: tuple[int, ...] = ()


def handed(request: Start, files: JobFiles, user: Identity | None, stack: ExitStack) -> Handed:
    """As the message `start` says, for a program of this user; `stack` closes the descriptors.
    Raises: OSError.
    """
    argv = list(request["argv"])
    stdin: int | None = None
    passed: tuple[int, ...] = ()
    if text := request.get("input"):
        stdin = _file(text, stack)
    if script := request.get("script"):
        write_script(script, files.script(request["command"]), user, stack)
    if options := request.get("fd_options"):
        passed = (_file("\0".join((*options, "")), stack),)
        argv[request["fd_options_index"]] = str(passed[0])
    return Handed(argv, stdin, passed)


def _file(text: str, stack: ExitStack) -> int:
    descriptor = memory_file(text.encode(errors="surrogateescape"))
    stack.callback(os.close, descriptor)
    return descriptor

"""What a program gets besides its argument list and its environment: files.

`input` is its standard input, or a file that an item of `argv` names, where the standard input is
the job's. `fd_options` are arguments that it reads from a descriptor, each ended by NUL, so that no
process list shows them. The message says which item of `argv` becomes the number of that
descriptor. Both are files in memory; a script is a file of the job's directory.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass

from service.files.job import JobFiles
from service.host.identity import Identity
from service.link.start import Start
from service.supervisor.job.exit_hooks import memory_file
from service.supervisor.job.script import write_script


@dataclass(frozen=True, slots=True)
class Handed:
    """`passed` are descriptors that the child inherits besides 0 to 2."""

    argv: list[str]
    stdin: int | None = None
    passed: tuple[int, ...] = ()


def handed(
    request: Start,
    files: JobFiles,
    user: Identity | None,
    stack: ExitStack,
    stdin: int | None = None,
) -> Handed:
    """As the message `start` says, for a program of this user; `stack` closes the descriptors.
    `stdin`: the job's input. Raises: OSError.
    """
    argv = list(request["argv"])
    passed: tuple[int, ...] = ()
    if (text := request.get("input")) is not None:
        if (index := request.get("input_index")) is None:
            stdin = _file(text, stack) if text else stdin
        else:
            passed = (_file(text, stack),)
            argv[index] = f"/dev/fd/{passed[0]}"
    if script := request.get("script"):
        write_script(script, files.script(request["command"]), user, stack)
    if options := request.get("fd_options"):
        passed = (*passed, _file("\0".join((*options, "")), stack))
        argv[request["fd_options_index"]] = str(passed[-1])
    return Handed(argv, stdin, passed)


def _file(text: str, stack: ExitStack) -> int:
    descriptor = memory_file(text.encode(errors="surrogateescape"))
    stack.callback(os.close, descriptor)
    return descriptor

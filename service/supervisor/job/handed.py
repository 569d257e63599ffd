"""What a program is handed besides its argument list and its environment: files in memory.

`input` is its standard input. `options` are arguments that it reads from a descriptor, separated by
NUL, so that they stand in no process list; the descriptor's number takes the place of `argv[2]`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass

from service.link.protocol import Message
from service.supervisor.job.exit_hooks import memory_file


@dataclass(frozen=True, slots=True)
class Handed:
    """`passed` are descriptors that the child has besides 0 to 2."""

    argv: list[str]
    stdin: int | None = None
    passed: tuple[int, ...] = ()


def handed(request: Message, held: ExitStack) -> Handed:
    """What the message `start` asks for; `held` closes the descriptors. Raises: OSError."""
    argv = list(request["argv"])
    stdin: int | None = None
    passed: tuple[int, ...] = ()
    if text := request.get("input"):
        stdin = _file(text, held)
    if options := request.get("options"):
        passed = (_file("\0".join((*options, "")), held),)
        argv[2] = str(passed[0])
    return Handed(argv, stdin, passed)


def _file(text: str, held: ExitStack) -> int:
    descriptor = memory_file(text.encode(errors="surrogateescape"))
    held.callback(os.close, descriptor)
    return descriptor

"""The shell of a command: which one it may be, and how it gets a command line of any length.

The kernel takes no argument longer than 32 pages, its NUL included. A longer script is read by the
shell from a file instead, by its command `.`: `$0`, the options and the line numbers are the same.
Source: execve(2), MAX_ARG_STRLEN.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec

from service.errors import FieldError, quoted
from service.jobs.checks import errors_in_text
from service.jobs.fields import Text
from service.settings import Settings

DEFAULT: Final = ("bash", "-c")
# Bytes of one argument.
MAX_ARGUMENT: Final = 32 * os.sysconf("SC_PAGESIZE") - 1
# A shell and its options, as a person writes them.
_MAX_WORDS: Final = 32
# Shells with the options and the command `.` of POSIX; what others do with their arguments isn't
# known here.
_POSIX: Final = frozenset({"ash", "bash", "dash", "ksh", "ksh93", "mksh", "sh", "yash", "zsh"})
# `-c`, alone or with other letters.
_TAKES_LINE: Final = re.compile(r"-[A-Za-z]*c[A-Za-z]*")

Shell = Annotated[list[Text], msgspec.Meta(min_length=1, max_length=_MAX_WORDS)]


def errors_in_shell(
    shell: Sequence[str] | None, line: str, pointer: str, settings: Settings
) -> Iterator[FieldError]:
    """What is wrong with the shell of a command, or with its command line for that shell."""
    name = DEFAULT[0]
    if shell is not None:
        name = shell[0]
        if name not in settings.shells:
            known = ", ".join(settings.shells) or "none"
            expected = f"expected one of the shells that this service allows ({known};"
            yield FieldError(
                f"{pointer}/Shell/0", f"{expected} JOBRUNNER_SHELLS), got {quoted(name)}"
            )
        elif name in _POSIX and not any(map(_TAKES_LINE.fullmatch, shell[1:])):
            expected = "expected an option -c, after which the command line is put"
            yield FieldError(f"{pointer}/Shell", f"{expected}, got none")
        for number, word in enumerate(shell):
            yield from errors_in_text(word, f"{pointer}/Shell/{number}")
            yield from errors_in_argument(word, f"{pointer}/Shell/{number}")
    if name not in _POSIX:
        yield from errors_in_argument(line, f"{pointer}/CommandLine")


def errors_in_argument(text: str, pointer: str) -> Iterator[FieldError]:
    """What is longer than the kernel takes."""
    if is_too_long(text):
        yield FieldError(
            pointer, f"expected at most {MAX_ARGUMENT} bytes, as the kernel takes no more, got more"
        )


def is_too_long(text: str) -> bool:
    """Whether it can't be one argument of a program."""
    if len(text) <= MAX_ARGUMENT // 4:  # most often: it needn't be encoded
        return False
    return len(text.encode(errors="surrogateescape")) > MAX_ARGUMENT


def argv(shell: Sequence[str] | None, line: str, path: str) -> tuple[str, ...]:
    """The shell that this search path has, to run `line`."""
    name, *options = DEFAULT if shell is None else shell
    # Where there is none the bare name goes to the supervisor, whose refusal names it.
    return (_find(name, path) or name, *options, line)


def reading(file: str) -> str:
    """A command line that runs the script in this file."""
    return f". {shlex.quote(file)}"


@functools.cache
def _find(name: str, path: str) -> str | None:
    """Looked up once: the search costs more than all else that a plan takes."""
    return shutil.which(name, path=path)

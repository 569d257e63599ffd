"""What a step of Slurm executes: bash, told everything by variables of its environment.

Slurm hands srun's environment on byte for byte, of any size and with any character in it; no file
is shared, nothing is left behind, and no process list or record of Slurm's shows a command line.

A variable of a job may change what srun and the loader do (`SLURM_…`, `LD_PRELOAD`), so each value
travels under a name of ours, a *carrier*, and gets its own name on the node: by the shell that the
step begins with, which then executes bash for the command line. Names that this shell can't give,
or that one of both treats in a way of its own, are given by env(1).

The first shell is the node's `/bin/sh`, in POSIX's language alone: where that is dash, it starts in
a third of the time that bash takes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from service.kinds.shells import is_too_long

_PREFIX: Final = "JOBRUNNER_STEP_"
# Bytes of one carrier: with its name it is less than the kernel takes. Source: MAX_ARG_STRLEN.
_PIECE: Final = 120_000
# Names that a shell can give a variable.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Variables that bash sets, counts with or keeps from being set, and those that change how it reads.
# Source: bash(1), Shell Variables.
_OF_BASH: Final = re.compile(
    r"BASH.*|COMP_.*|COPROC|DIRSTACK|EPOCH.*|EUID|FUNCNAME|FUNCNEST|GROUPS|HISTCMD|LANG|LC_.*"
    r"|LINENO|MAPFILE|OLDPWD|OPT(?:ARG|ERR|IND)|PIPESTATUS|PPID|PWD|RANDOM|READLINE_.*|REPLY"
    r"|SECONDS|SHELLOPTS|SHLVL|SRANDOM|UID|_|POSIXLY_CORRECT"
)
# Of the service's processes on this host, and nobody's on a node.
_OF_THIS_HOST: Final = "JOBRUNNER_STATE"
# The status of a step whose directory isn't there, as of all that isn't the command's own failure.
_NO_DIRECTORY: Final = 125
# Bytes that the limit of a file's size is counted in by POSIX's shell. Source: POSIX, ulimit.
_BLOCK: Final = 512

NO_LIMITS: Final[Mapping[str, Any]] = MappingProxyType({})


class Step(msgspec.Struct, frozen=True):
    """The argument list of the step, and the variables that it is told by."""

    argv: tuple[str, ...]
    carriers: dict[str, str]


class _Carriers(msgspec.Struct):
    held: dict[str, str] = msgspec.field(default_factory=dict)

    def add(self, value: str) -> str:
        """Carry a value; returns the expression for it in the shell."""
        return "".join(f"${{{name}}}" for name in self._names(value))

    def _names(self, value: str) -> Iterator[str]:
        data = value.encode(errors="surrogateescape")
        for start in range(0, len(data) or 1, _PIECE):
            name = f"{_PREFIX}{len(self.held)}"
            self.held[name] = data[start : start + _PIECE].decode(errors="surrogateescape")
            yield name


class _Kept(msgspec.Struct):
    """What the first shell still needs when it has unset the carriers, in its own arguments: these
    are in no environment.
    """

    held: list[str] = msgspec.field(default_factory=list)

    def add(self, expression: str) -> str:
        """Returns the expression for it from then on."""
        self.held.append(expression)
        return f"${{{len(self.held)}}}"

    def __str__(self) -> str:
        return " ".join(f'"{each}"' for each in self.held)


def step(
    line: str, variables: Mapping[str, str], directory: str, limits: Mapping[str, Any] = NO_LIMITS
) -> Step:
    """Run `line` by bash, in this directory of the node, with these variables besides Slurm's, and
    these limits of each process.
    """
    carriers = _Carriers()
    where = carriers.add(directory)
    given, by_env, kept = [], [], _Kept()
    for name, value in variables.items():
        expression = carriers.add(value)
        is_plain = _NAME.fullmatch(name) and not _OF_BASH.fullmatch(name)
        if is_plain and not name.startswith(_PREFIX):
            given.append(f'{name}="{expression}"')
        else:
            by_env.append(f'{shlex.quote(name)}="{kept.add(expression)}"')
    shell = "bash"
    if "PATH" in variables:  # which may have none
        shell = f'"{kept.add("$(command -v bash)")}"'
    arguments, left = _what_runs(line, carriers, kept)
    hidden = " ".join(name for name in carriers.held if name not in left)
    by_program = ("/usr/bin/env", "--", *by_env) if by_env else ()
    missing = (
        "jobrunner: the working directory isn't there on the node $SLURMD_NODENAME: is it shared?"
    )
    steps = (
        f'cd -- "{where}" || {{ echo "{missing}" >&2; exit {_NO_DIRECTORY}; }}',
        *_bounds(limits),
        f"set -- {kept}",
        *(f"export {each}" for each in given),
        f"unset OLDPWD {_OF_THIS_HOST} {hidden}",
        " ".join(("exec", *by_program, shell, arguments)),
    )
    script = "\n".join(steps)
    return _begun(script, carriers)


def _begun(script: str, carriers: _Carriers) -> Step:
    before = set(carriers.held)
    expression = carriers.add(script)
    own = " ".join(name for name in carriers.held if name not in before)
    return Step(("/bin/sh", "-c", f'eval "unset {own}; {expression}"'), carriers.held)


def _bounds(limits: Mapping[str, Any]) -> Iterator[str]:
    """One that is above the node's own can't be set, and needn't."""
    if most := limits.get("open_files"):
        yield f"ulimit -n {most} 2>/dev/null"
    if most := limits.get("file_size"):
        yield f"ulimit -f {-(-most // _BLOCK)} 2>/dev/null"


def _what_runs(line: str, carriers: _Carriers, kept: _Kept) -> tuple[str, set[str]]:
    """The shell's arguments, and the carriers that stay in its environment until it takes them."""
    if not is_too_long(line):
        return f'-c "{kept.add(carriers.add(line))}"', set()
    before = set(carriers.held)
    expression = carriers.add(line)
    pieces = set(carriers.held) - before
    # No argument can be so long: the shell puts it together itself, on the line that it begins at.
    whole = f"{_PREFIX}LINE"
    gone = " ".join(sorted(pieces))
    told = f'{whole}="{expression}"; unset {gone}; eval "unset {whole}; ${whole}"'
    return f"-c {shlex.quote(told)}", pieces

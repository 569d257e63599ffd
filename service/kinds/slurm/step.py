"""What a step of Slurm executes: bash, told everything by variables of its environment.

Slurm hands srun's environment on byte for byte, of any size and with any character in it; no file
is shared, nothing is left behind, and no process list or record of Slurm's shows a command line.

A variable of a job may change what srun and the loader do (`SLURM_…`, `LD_PRELOAD`), so each value
travels under a name of ours, a *carrier*, and gets its own name on the node: by the shell that the
step begins with, which then executes the one that runs the command line. Names that this shell
can't give, or treats in a way of its own, are given by env(1).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

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

NO_LIMITS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Step:
    """The argument list of the step, and the variables that it is told by."""

    argv: tuple[str, ...]
    carriers: dict[str, str]


@dataclass(slots=True)
class _Carriers:
    held: dict[str, str] = field(default_factory=dict)

    def add(self, value: str) -> str:
        """Carry a value; returns the expression for it in the shell."""
        return "".join(f"${{{name}}}" for name in self._names(value))

    def _names(self, value: str) -> Iterator[str]:
        data = value.encode(errors="surrogateescape")
        for start in range(0, len(data) or 1, _PIECE):
            name = f"{_PREFIX}{len(self.held)}"
            self.held[name] = data[start : start + _PIECE].decode(errors="surrogateescape")
            yield name


def step(
    line: str, variables: Mapping[str, str], directory: str, limits: Mapping[str, Any] = NO_LIMITS
) -> Step:
    """Run `line` by bash, in this directory of the node, with these variables besides Slurm's, and
    these limits of each process.
    """
    carriers = _Carriers()
    where = carriers.add(directory)
    given, by_env = [], []
    for name, value in variables.items():
        expression = carriers.add(value)
        is_plain = _NAME.fullmatch(name) and not _OF_BASH.fullmatch(name)
        if is_plain and not name.startswith(_PREFIX):
            given.append(f'{name}="{expression}"')
        else:
            by_env.append(f'{shlex.quote(name)}"={expression}"')
    inner, kept = _what_runs(line, carriers)
    hidden = " ".join(name for name in carriers.held if name not in kept)
    begin = f"exec /usr/bin/env -- {' '.join(by_env)} " if by_env else "exec "
    script = (
        f'cd -- "{where}" || {{ echo "jobrunner: the working directory isn\'t there on the node'
        f' $HOSTNAME: is it shared?" >&2; exit {_NO_DIRECTORY}; }}\n'
        f"{_bounds(limits)}unset OLDPWD {_OF_THIS_HOST}\n"
        f"export -n {hidden}\n" + (f"export {' '.join(given)}\n" if given else "") + begin + inner
    )
    return _begun(script, carriers)


def _begun(script: str, carriers: _Carriers) -> Step:
    before = set(carriers.held)
    expression = carriers.add(script)
    own = " ".join(name for name in carriers.held if name not in before)
    return Step(("bash", "-c", f'export -n {own}; eval "{expression}"'), carriers.held)


def _bounds(limits: Mapping[str, Any]) -> str:
    """One that is above the node's own can't be set, and needn't."""
    found = ""
    if most := limits.get("open_files"):
        found += f"ulimit -n {most} 2>/dev/null\n"
    if most := limits.get("file_size"):
        found += f"ulimit -f {-(-most // 1024)} 2>/dev/null\n"  # bash counts in KiB
    return found


def _what_runs(line: str, carriers: _Carriers) -> tuple[str, set[str]]:
    """The shell's arguments, and the carriers that stay in its environment until it takes them."""
    if not is_too_long(line):
        return f'"$BASH" -c "{carriers.add(line)}"', set()
    before = set(carriers.held)
    expression = carriers.add(line)
    pieces = set(carriers.held) - before
    # No argument can be so long: the shell puts it together itself, on the line that it begins at.
    whole = f"{_PREFIX}LINE"
    gone = " ".join(sorted(pieces))
    told = f'{whole}="{expression}"; unset {gone}; eval "unset {whole}; ${whole}"'
    return f'"$BASH" -c {shlex.quote(told)}', pieces

"""What a shell completes: it calls `jobrunner` with the line that was typed in the environment.

The machinery, zsh's script and fish's are click's. Whatever goes wrong gives no candidates: nobody
wants an error in the middle of a line.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from service.cli.commands import COMPLETING

SHELLS: Final = ("bash", "zsh", "fish")
# Seconds: longer than that nobody waits for a key, who doesn't know how far away the service is.
PATIENCE_S: Final = 1.0
# Other seconds, for a slow network or a busy machine.
PATIENCE: Final = "JOBRUNNER_COMPLETION_TIMEOUT"
_VARIABLES: Final = os.environ  # noqa: TID251 - what the shell says


Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


class _Late(BaseException):
    """No exception of a kind that somebody on the way would handle."""


def _patience_s() -> float:
    """Seconds; what isn't a number of them counts as not said."""
    with suppress(ValueError):
        said = float(_VARIABLES.get(PATIENCE, ""))
        if 0 < said < float("inf"):
            return said
    return PATIENCE_S


@contextmanager
def quietly() -> Iterator[None]:
    """Leave the block after that time, and when anything in it fails. In the main thread."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _patience_s())
    try:
        yield
    except (_Late, Exception):  # noqa: BLE001, S110 - no candidates, as the module says
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def beginning(words: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem[str]]:
    """Those that begin so, each with what is said of it."""
    return [
        CompletionItem(word, help=about or None)
        for word, about in words
        if word.startswith(incomplete)
    ]


def files(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Names of files, which the shell knows."""
    del ctx, parameter
    return [CompletionItem(incomplete, type="file")]


def one_or_several(*words: str) -> Completer:
    """Any of them, with commas between."""

    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        del ctx, parameter
        before, comma, _ = incomplete.rpartition(",")
        return beginning(((f"{before}{comma}{word}", "") for word in words), incomplete)

    return complete


@add_completion_class
class Bash(BashComplete):
    """Bash breaks words at `@`, `=` and `:`, and replaces the last piece only: the line is taken as
    it was typed, and of each candidate its last piece.
    """

    source_template = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:
        return ShellComplete.source(self)  # click's own starts a bash, to warn of an old one

    def get_completion_args(self) -> tuple[list[str], str]:
        line = _VARIABLES["COMP_LINE"]
        words = split_arg_string(line)[1:]
        incomplete = words.pop() if words and not line[-1].isspace() else ""
        return words, incomplete

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        begins = _piece(incomplete, _VARIABLES.get("COMP_WORDBREAKS", ""))
        return "\n".join(
            f"{item.type},{item.value[begins if item.value.startswith(incomplete) else 0 :]}"
            for item in self.get_completions(args, incomplete)
        )


def _piece(word: str, breaks: str) -> int:
    """Where the last piece of a word begins. `$` and `@` belong to the piece behind them. Source:
    readline(3), rl_special_prefixes, as bash sets it.

    >>> [_piece(word, "@=:") for word in ("a=b:c", "@last", "plain")]
    [4, 0, 0]
    """
    at = max((word.rfind(mark) for mark in breaks), default=-1)
    return at if at >= 0 and word[at] in "$@" else at + 1


def source(shell: str, program: click.Command) -> str:
    """The script for a shell."""
    return _of(shell, program).source()


def run(program: click.Command) -> int:
    """Print the candidates for the line that was typed. Returns the exit status."""
    shell, _, what = _VARIABLES[COMPLETING].partition("_")
    if shell in SHELLS and what == "complete":
        with suppress(Exception):
            print(_of(shell, program).complete())
    return 0


def _of(shell: str, program: click.Command) -> ShellComplete:
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - one of SHELLS
    return found(program, {}, "jobrunner", COMPLETING)

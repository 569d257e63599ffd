"""The command line: `jobrunner`, the same as `python -m service`.

Each command is a module that is loaded when it is called: `ps` is typed all day, and needs little.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from service.cli.commands import COMPLETING, OPERATOR
from service.cli.loading import end_at_interrupts, loaded
from service.cli.standard_output import ending, name_failures
from service.host import standard_streams, utf8_mode

# What is loaded stays: Python would look for cycles in it each 700 new objects.
_NEW_OBJECTS_PER_COLLECTION: Final = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status; without `arguments` the process ends."""
    if arguments is None:
        standard_streams.ensure()
        utf8_mode.ensure()
    if COMPLETING in os.environ:  # noqa: TID251 - set by a shell that completes
        completed: int = loaded("service.cli.group").complete()
        return completed
    if arguments is not None:
        return _run(list(arguments))
    name_failures()
    status = ending(lambda: _run(sys.argv[1:]))
    end_at_interrupts()  # a traceback would tell of the end else
    with suppress(OSError):  # nobody is left who could be told
        sys.stderr.flush()
    # All threads are daemons; freeing the memory would be a twelfth of what `ps` costs.
    os._exit(status)


def _run(given: list[str]) -> int:
    if given[:1] == ["serve"]:
        loaded("service.cli.serve").run(given[1:])
    # What an operator may need while little works depends on the standard library's parser alone.
    where = "service.cli.operator" if given[:1] and given[0] in OPERATOR else "service.cli.group"
    gc.set_threshold(_NEW_OBJECTS_PER_COLLECTION)
    status: int = loaded(where).run(given)
    return status

"""Variables for a container, as lines of `--env-file`, which docker's client reads as data.

The file is the client's standard input, so no value shows in a process list. The client's own
environment is the service's: a variable in it may change what the client and the loader do, so
no variable of a job is put there. One that no line can hold is refused when the job is submitted.

The client skips lines that begin with `#` and leading blanks, reads at most 64 KiB, removes a
carriage return at the end and a byte order mark at the beginning, refuses a name with a blank in
it, and takes the value of a line without `=` from its own environment: each line here has one.
Source: pkg/kvfile of docker/cli.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Bytes: the client reads lines of less than 64 KiB.
MAX_LINE_BYTES: Final = 60_000


def is_passable(name: str, value: str) -> bool:
    """Whether this variable can be passed to a container."""
    return (
        name.isprintable()
        and not name.startswith(("#", "\ufeff"))
        and not any(c.isspace() for c in name)
        and "=" not in name
        and "\n" not in value
        and not value.endswith("\r")
        and len(name) + len(value) <= MAX_LINE_BYTES  # mostly it needn't be encoded
        and len(f"{name}{value}".encode(errors="surrogatepass")) <= MAX_LINE_BYTES
    )


def lines(variables: Mapping[str, str]) -> str:
    """The file. Raises: ValueError, for a variable that isn't passable."""
    if not all(is_passable(name, value) for name, value in variables.items()):
        raise ValueError("a variable can't be passed to a container")
    return "".join(f"{name}={value}\n" for name, value in variables.items())

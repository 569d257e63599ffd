"""How variables reach a container without standing in any process list, or misleading the client.

Docker's client takes a variable from a file of lines (`--env-file`, which is its standard input
here), or by name from its own environment (`--env NAME`). The file can carry neither line breaks
nor long lines; what stands in the client's environment may change what the client itself does. So
the file carries all it can, and the environment the rest, unless the name means something to the
client: that is refused when the job is submitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Bytes: the client reads lines of less than 64 KiB.
MAX_LINE_BYTES: Final = 60_000
# Names that the client, the runtime that it is written in, or the loader look at.
_OF_THE_CLIENT: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|TZ|TERM|LANG|LC_.*|LD_.*|GLIBC_.*|MALLOC_.*|GO.*|CGO_.*"
    r"|DOCKER_.*|BUILDKIT_.*|MOBY_.*|OTEL_.*|CONTAINERS?_.*|PODMAN_.*|BUILDAH_.*|REGISTRY_.*"
    r"|STORAGE_.*|XDG_.*|SSL_.*|SSH_.*|DBUS_.*|RES_OPTIONS|LOCALDOMAIN|HOSTALIASES|NETRC"
    r"|PYTHON.*|JOBRUNNER_.*|.*_PROXY",
    re.IGNORECASE,
)


def is_passable(name: str, value: str) -> bool:
    """Whether this variable can be handed to a container."""
    return _fits_a_line(name, value) or not _OF_THE_CLIENT.fullmatch(name)


def passed(variables: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The lines for `--env-file`, and what goes through the client's environment instead."""
    lines, others = [], {}
    for name, value in variables.items():
        if _fits_a_line(name, value):
            lines.append(f"{name}={value}\n")
        elif not _OF_THE_CLIENT.fullmatch(name):
            others[name] = value
    return "".join(lines), others


def _fits_a_line(name: str, value: str) -> bool:
    return (
        not name.startswith(("#", "\ufeff"))
        and not any(c.isspace() for c in name)
        and "\n" not in value
        and not value.endswith("\r")
        and len(name) + len(value) <= MAX_LINE_BYTES  # most often there is no need to encode it
        and len(f"{name}{value}".encode(errors="surrogatepass")) <= MAX_LINE_BYTES
    )

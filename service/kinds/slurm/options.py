"""Options of srun that the operator lets commands have, beside the keys that each command may have.

An option is written as srun's manual does, `--name` or `--name=value`: one argument, so that none
can bring another. What the service itself relies on is nobody's to set, whatever is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

OPTION: Final = r"--[a-z][a-z0-9-]*(=[^\u0000-\u001f\u007f]*)?"
MAX_OPTIONS: Final = 100
MAX_CHARS: Final = 4096

_option: Final = re.compile(r"--(?P<name>[a-z][a-z0-9-]*)(=[^\x00-\x1f\x7f]*)?")
# What makes the step another's, moves its output, its input or its directory, keeps srun from
# waiting for it, or from making a job of its own. srun takes abbreviations too.
RESERVED: Final = tuple(
    "attach begin chdir comment compress dependency epilog error export external-launcher gid"  # noqa: SIM905 - a list of words, as one reads it
    " het-group help input interactive job-name jobid kill-on-invalid-dep label msg-timeout"
    " multi-prog no-allocate no-kill open-mode output overlap preserve-env prolog propagate pty"
    " quiet quit-on-interrupt relative resv-ports send-libs slurmd-debug spread-job task-epilog"
    " task-prolog test-only uid unbuffered usage verbose version wait".split()
)


def why_not(option: str, allowed: Collection[str]) -> str | None:
    """What is wrong with an option of a command: the end of `expected …`; None: nothing."""
    if len(option) > MAX_CHARS:
        return f"an option of at most {MAX_CHARS} characters"
    if (found := _option.fullmatch(option)) is None:
        return "an option as --name or --name=value, without control characters"
    name = found["name"]
    if any(reserved.startswith(name) for reserved in RESERVED):
        return "none that the service itself sets, or relies on"
    if name not in allowed:
        known = " ".join(sorted(allowed)) or "none"
        return f"an option that this service allows (JOBRUNNER_SLURM_OPTIONS), {known}"
    return None

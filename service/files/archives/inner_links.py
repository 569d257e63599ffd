"""Whether a link that an archive has leads out of a job's directory.

The text of its path doesn't tell: `a/b/up -> ../..` and then `a/b/up/x -> ../y` is a link at the
top. So the depth is that of the real directory that it is put into. A target goes up at its
beginning only, where all that it goes up through are real directories: behind a name `..` goes up
from wherever that name leads. Each link thus stays inside, and so does a chain of them.
"""

from __future__ import annotations

import os


def outward(top: int, parent: int, target: bytes) -> str | None:
    """What is wrong with a link in the open directory `parent`, beneath `top`, to `target`; None
    when nothing is. Raises: OSError.
    """
    if not target or b"\0" in target:
        return "to no file"
    steps = [step for step in target.split(b"/") if step not in (b"", b".")]
    up = next((n for n, step in enumerate(steps) if step != b".."), len(steps))
    if target.startswith(b"/") or up > _depth(top, parent):
        return "that leads out of the job's directory"
    if b".." in steps[up:]:
        return "with '..' behind a name, which may lead out of the job's directory"
    return None


def _depth(top: int, parent: int) -> int:
    """How many names below `top`; -1, when it isn't there."""
    # As the kernel resolves it. Source: proc_pid_fd(5).
    above, path = (os.readlink(b"/proc/self/fd/%d" % each) for each in (top, parent))
    if path == above:
        return 0
    return path[len(above) :].count(b"/") if path.startswith(above + b"/") else -1

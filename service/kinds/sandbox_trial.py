"""Whether a sandbox, or a PID namespace, works on this host: found out by making one."""

from __future__ import annotations

import subprocess
from typing import Final

from service.kinds.sandbox import NAMESPACE, find, options
from service.settings import Settings

# Seconds.
_TIMEOUT_S: Final = 20


def fault(settings: Settings) -> str | None:
    """Why no command can run in a sandbox, or in a PID namespace, here; None if it can, or if there
    is to be none.
    """
    if settings.sandbox != "off":
        made = options(None, None, network=False)
    elif settings.pid_namespace != "off":
        made = [*NAMESPACE]
    else:
        return None
    program = find(settings.base_environment["PATH"])
    if program is None:
        return "bubblewrap (the program bwrap) is not installed."
    user = settings.run_as
    try:
        tried = subprocess.run(
            [program, *made, "--", "/bin/true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            # The job's user may read the environment of a process that is theirs.
            env=settings.job_user_environment,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else user.groups,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return f"bubblewrap can't be run here: {exc}."
    if tried.returncode:
        reason = tried.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"bubblewrap doesn't work here: {reason or f'exit status {tried.returncode}'}."
    return None

"""Jobs in containers, as tests ask for them and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dockerd import IMAGE
from watching import of_jobs


def docker(line: str | None = None, **keys: Any) -> dict[str, Any]:
    """A command by the container's shell, or as `keys` say."""
    command = {"Kind": "docker", "Image": IMAGE, **keys}
    return command if line is None else {**command, "CommandLine": line, "Shell": True}


def job(*commands: dict[str, Any] | str, **keys: Any) -> dict[str, Any]:
    listed = [c if isinstance(c, dict) else {"CommandLine": c} for c in commands]
    return {"Commands": listed, **keys}


def outcome(view: dict[str, Any], number: int = 0) -> tuple[str, int | None, str | None]:
    command = view["Commands"][number]
    return command["State"], command["ExitCode"], command["Signal"]


def client_of(job_id: str) -> int:
    """The pid of the Docker client that is the job's command."""
    (pid,) = [pid for pid in of_jobs([job_id]) if b"\0run\0" in command_line(pid)]
    return pid


def command_line(pid: int) -> bytes:
    """Empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

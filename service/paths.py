"""The names of the files in a state directory, each in one place.

What is in the directory of one job stands in `service.files.job`, what is in its log in
`service.output.files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Directories with one of each job. A job's user passes through the first; nobody else enters the
# second, which gets its name once all of an older release is in it (`supervisor.layout`).
JOBS: Final = "jobs"
LOGS: Final = "logs"
# The supervisor reaches its own by a descriptor of the directory, whatever the path leads to.
SUPERVISOR_SOCKET: Final = "supervisor.sock"
SUPERVISOR_LOCK: Final = "supervisor.lock"
# There while the service drains.
DRAIN: Final = "drain"


@dataclass(frozen=True, slots=True)
class StateDir:
    """The paths in the state directory `path`."""

    path: Path

    @property
    def records(self) -> Path:
        """The database; SQLite adds its own suffixes."""
        return self.path / "jobs.db"

    @property
    def reserve(self) -> Path:
        """Disk space that is given up for what must be recorded."""
        return self.path / "reserve"

    @property
    def jobs(self) -> Path:
        return self.path / JOBS

    @property
    def logs(self) -> Path:
        return self.path / LOGS

    @property
    def unfinished_logs(self) -> Path:
        """Where the logs of an older release are collected."""
        return self.path / "logs.new"

    @property
    def service_lock(self) -> Path:
        """Locked by the service; names its process."""
        return self.path / "service.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Locked by the supervisor; names its process."""
        return self.path / SUPERVISOR_LOCK

    @property
    def drain(self) -> Path:
        return self.path / DRAIN

    @property
    def kept(self) -> Path:
        """A file for each job with processes that outlive it (`supervisor.kept`)."""
        return self.path / "kept"

    @property
    def start_lock(self) -> Path:
        """Locked by the one candidate that is to become the supervisor."""
        return self.path / "supervisor.start.lock"

    @property
    def supervisor_log(self) -> Path:
        return self.path / "supervisor.log"

    @property
    def metrics(self) -> Path:
        """A link to the directory that the workers' counters share."""
        return self.path / "metrics"

    @property
    def tokens(self) -> Path:
        return self.path / "tokens.json"

    @property
    def tokens_lock(self) -> Path:
        """Locked by the one who changes the tokens."""
        return self.path / "tokens.lock"

    @property
    def logins(self) -> Path:
        """Who is logged in to the page."""
        return self.path / "sessions.json"

    @property
    def logins_lock(self) -> Path:
        """Locked by the one who changes the logins."""
        return self.path / "sessions.lock"

    @property
    def audit_log(self) -> Path:
        return self.path / "audit.log"

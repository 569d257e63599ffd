"""`jobrunner doctor`: finds out what is wrong on this host without changing anything.

Each check looks at one thing, and stands in `CHECKS`. None needs a running service, and none starts
a supervisor.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from service.kinds import KINDS
from service.kinds.settings import read_settings
from service.operations import access_checks, host_checks, kind_checks, state_checks
from service.operations.findings import Check, Finding, Severity, run
from service.settings import SettingError

# In the order in which an operator would look.
CHECKS: Final = (
    Check("settings", state_checks.unknown_settings, Severity.WARNING),
    Check("state directory", state_checks.directory, Severity.PROBLEM),
    Check("service", state_checks.service_process, Severity.WARNING),
    Check("records", state_checks.records, Severity.PROBLEM),
    Check("supervisor", state_checks.supervisor, Severity.PROBLEM),
    Check("kept processes", state_checks.kept, Severity.WARNING),
    Check("drain", state_checks.drain, Severity.WARNING),
    Check("free space", host_checks.free_space, Severity.PROBLEM),
    Check("open files", host_checks.open_files, Severity.WARNING),
    Check("cgroup", host_checks.cgroup, Severity.WARNING),
    Check("inotify", host_checks.inotify, Severity.WARNING),
    Check("tokens", access_checks.accepted_tokens, Severity.PROBLEM),
    Check("unix socket", access_checks.unix_socket, Severity.WARNING),
    Check("jobs", access_checks.confined_jobs, Severity.PROBLEM),
    *(
        # A kind that can't run is no problem of the service: commands of the others can.
        Check(f"kind {kind.name}", partial(kind_checks.usable, kind), Severity.WARNING)
        for kind in KINDS.values()
    ),
)
ORPHANS: Final = Check("leftovers", kind_checks.orphans, Severity.WARNING)
REMOVAL: Final = Check("leftovers", kind_checks.remove_orphans, Severity.WARNING)
VERSIONS: Final = Check("versions", host_checks.versions, Severity.WARNING)


def examine(*, fix: bool = False) -> list[Finding]:
    """Run all checks. `fix` removes what finished jobs left behind; nothing else is changed."""
    try:
        settings = read_settings()
    except SettingError as exc:
        advice = "Correct the variable; the service does not start with it."
        return [
            Finding("settings", Severity.PROBLEM, str(exc), advice),
            *run(VERSIONS, None),
        ]
    checks = (*CHECKS, REMOVAL if fix else ORPHANS, VERSIONS)
    return [finding for check in checks for finding in run(check, settings)]

"""The user and the sandbox that jobs run in: what must hold before a service may start.

As soon as there are tokens, jobs are programs of others. So the settings of a service that runs as
root must name the user of its jobs, or allow root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from service.access import tokens
from service.host.identity import Identity
from service.kinds.docker import sources
from service.kinds.sandbox import hides
from service.kinds.sandbox_trial import fault
from service.paths import StateDir
from service.settings import Settings

ROOT_JOBS = (
    "The service runs as root and has tokens, so everybody who may submit a job would be root. Set"
    " the user that jobs run as (JOBRUNNER_RUN_AS), or allow root (JOBRUNNER_ALLOW_ROOT_JOBS=1)."
)


class Unconfined(Exception):
    """Jobs can't be confined as the settings say; the message is a sentence for the operator."""


def check(settings: Settings) -> None:
    """Raises: Unconfined, for the first fault."""
    for wrong in faults(settings):
        raise Unconfined(wrong)


def faults(settings: Settings) -> Iterator[str]:
    """Each reason why a service with these settings would not start."""
    if is_root_for_strangers(settings):
        yield ROOT_JOBS
    if (user := settings.run_as) is not None and not _may_pass(settings):
        yield (
            f"The user {user.name!r}, whom jobs run as, may not pass to the state directory"
            f" {settings.state_dir}. Set the mode of each directory above it to 711, or choose"
            " another JOBRUNNER_STATE_DIR."
        )
    yield from sources.faults(settings)
    if settings.socket is not None and (wrong := fault_of_socket(settings, settings.socket)):
        yield wrong
    if (wrong := fault(settings)) is not None:
        if settings.sandbox != "off":
            yield f"The sandbox can't be used (JOBRUNNER_SANDBOX): {wrong}"
        else:
            yield f"No PID namespace can be made (JOBRUNNER_PID_NAMESPACE): {wrong}"


def fault_of_socket(settings: Settings, path: Path) -> str | None:
    """Why the service may not listen on a Unix socket there, if it may not. A command without a
    network can still connect to a file.
    """
    if settings.sandbox == "off" or hides(os.path.realpath(path), settings.state_dir):
        return None
    return (
        f"Commands in a sandbox (JOBRUNNER_SANDBOX) would reach the service by its Unix socket"
        f" {str(path)!r}. Put it where they don't see it: below /run, /tmp or the state directory."
    )


def is_root(settings: Settings) -> bool:
    """Whether jobs run as root."""
    return settings.run_as is None and os.geteuid() == 0


def is_root_for_strangers(settings: Settings) -> bool:
    """Whether jobs of callers with tokens would run as root, and the settings don't allow it."""
    return is_root(settings) and not settings.allow_root_jobs and tokens.enabled(settings.state_dir)


def _may_pass(settings: Settings) -> bool:
    user = settings.run_as
    assert user is not None  # noqa: S101 - checked by the only caller
    path = StateDir(settings.state_dir).jobs
    while not path.exists():  # doctor may come before the service
        path = path.parent
    with Identity(user.uid, user.gid, user.groups).assumed():
        return os.access(path, os.X_OK, effective_ids=True)

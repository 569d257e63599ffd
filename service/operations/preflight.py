"""What the main process prepares and checks before it starts anything."""

from __future__ import annotations

import resource
import sys
from typing import Final

import structlog

from service import state_dir
from service.metrics import shared
from service.operations import confinement
from service.paths import StateDir
from service.settings import Settings
from service.store import Reserve, Store

# Descriptors that a process needs at least: an idle worker has about thirty, its reserve comes on
# top (`service.web.fd_reserve`), and the rest is for connections and jobs.
_MIN_DESCRIPTORS: Final = 128

_log = structlog.get_logger("jobrunner.app")


class TooFewDescriptors(Exception):
    """The service could accept no job; the message is a sentence for the operator."""


def prepare(settings: Settings) -> int:
    """Take the state directory, migrate the records, and check that jobs can be confined. Returns
    the descriptor of the directory's lock, which is held while that is open.

    Raises: TooFewDescriptors, StateDirError, StoreError, Unconfined.
    """
    _check_descriptors()
    state_dir.prepare(settings.state_dir)
    lock = state_dir.hold(settings.state_dir)
    records = StateDir(settings.state_dir).records
    Reserve(records).prepare_start()
    Store(records).close()  # migrated here, before there are workers
    shared.prepare(settings.state_dir)
    confinement.check(settings)
    if confinement.is_root(settings):
        _log.warning("jobs_run_as_root", mend="JOBRUNNER_RUN_AS")
    for unknown in settings.unknown:
        print(f"jobrunner: {unknown}", file=sys.stderr)  # noqa: T201 - for the operator
    return lock


def _check_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _MIN_DESCRIPTORS:
        raise TooFewDescriptors(
            f"This process may open {hard} files, and the service needs {_MIN_DESCRIPTORS} at"
            " least: raise the hard limit (ulimit -Hn, LimitNOFILE=)."
        )

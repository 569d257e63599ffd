"""What follows in a worker when a job has changed: long polls, retention, checkpoints."""

from __future__ import annotations

from service.engine.kept import KeptProcesses
from service.engine.patient_writes import LogKeeper
from service.engine.retention import Retention
from service.engine.waiters import Waiters
from service.jobs.states import LIVE, State
from service.link.from_supervisor import SupervisorHello
from service.link.session import SupervisorSession


class Changes:
    """Nobody waits, and nothing follows: that of a process that serves no callers."""

    def changed(self, job_id: str, state: State) -> None:
        """The job is in `state` now, whoever stored that."""

    def finished(self, job_id: str) -> None:
        """The end of a job of this process is stored."""

    def kept(self, job_id: str) -> None:
        """The end of a job is stored that has kept processes."""

    def is_awaited(self, _job_id: str) -> bool:
        """Whether a caller waits for any change of the job, not only for its end."""
        return True


class WorkerChanges(Changes):
    """That of a worker."""

    def __init__(
        self,
        waiters: Waiters,
        retention: Retention,
        log_keeper: LogKeeper,
        kept_processes: KeptProcesses,
    ) -> None:
        self._waiters = waiters
        self._retention = retention
        self._log_keeper = log_keeper
        self._kept = kept_processes

    def changed(self, job_id: str, state: State) -> None:
        self._waiters.notify(job_id, finished=state not in LIVE)
        if state not in LIVE:
            self._log_keeper.committed()

    def finished(self, job_id: str) -> None:
        self._retention.finished(job_id)

    def kept(self, job_id: str) -> None:
        self._kept.finished(job_id)

    def is_awaited(self, job_id: str) -> bool:
        return self._waiters.has_state_waiters(job_id)

    def connected(self, _session: SupervisorSession, _hello: SupervisorHello) -> None:
        """Other workers may have published changes before this one was connected."""
        self._waiters.notify_all()

    def lost(self) -> None:
        """What is published from now on doesn't arrive."""
        self._waiters.notify_all()

    def awake(self) -> None:
        """Nothing was missed."""

"""Killing a job on request: recorded first, and sent to the supervisor then."""

from __future__ import annotations

import time

import structlog

from service.engine.driver import Driver
from service.engine.kept import KeptProcesses
from service.engine.session import KeptSession
from service.errors import JobrunnerError
from service.jobs.fields import DEFAULT_GRACE_S
from service.jobs.record import Kill, signal_name
from service.jobs.states import LIVE, Reason, State
from service.link import to_supervisor
from service.store import Store, readable

_log = structlog.get_logger("jobrunner.engine")


class Kills:
    """Those that callers of one worker request."""

    def __init__(
        self, store: Store, session: KeptSession, driver: Driver, kept: KeptProcesses
    ) -> None:
        self._store = store
        self._session = session
        self._driver = driver
        self._kept = kept

    async def request(self, job_id: str, signal: int, grace_s: float | None) -> State | None:
        """See `Engine.kill`."""
        at = time.time_ns()
        if grace_s is None:
            record = self._store.get(job_id)
            grace_s = DEFAULT_GRACE_S if record is None else readable(record)[1].grace_s
        kill = Kill(
            reason=Reason.REQUESTED, requested_at=at, signal=signal_name(signal), grace_s=grace_s
        )
        self._driver.settle()
        try:
            state = self._store.kills.add(job_id, kill)
        except JobrunnerError as exc:
            # A kill acts even when it can't be recorded.
            _log.error("kill_not_recorded", job=job_id, error=exc.detail)
            state = self._store.state_of(job_id)
        if state not in LIVE:
            if state is not None and self._kept.has(job_id):
                self._kept.begin(job_id, kill)
            return state
        message: to_supervisor.Kill = {
            "type": "kill",
            "job": job_id,
            "signal": signal,
            "grace_s": grace_s,
            "requested_at": at,
            "reason": Reason.REQUESTED.value,
        }
        await self._session.request(message)
        return self._store.state_of(job_id)

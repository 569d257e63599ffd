"""Ending the processes that finished jobs have left running, as their commands asked.

Rules
1. The request is recorded before it is sent, and the receipt stored before the supervisor's file
   about these processes is removed: whoever finds the file and no receipt goes on.
2. Every worker may end them, also at the same time: the supervisor ends them once, and tells all.
3. Nothing is asked, and nobody is kept waiting, for a job that has no such file.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Final

import structlog
from msgspec.structs import replace

from service.engine.events import receipt_of
from service.engine.patient_writes import stored
from service.engine.session import KeptSession
from service.engine.tasks import OwnedTasks
from service.errors import JobrunnerError, Unavailable
from service.jobs.record import Kill, signal_number
from service.jobs.states import FINISHED, Reason, State
from service.link.from_supervisor import SupervisorHello
from service.link.session import SupervisorSession
from service.link.to_supervisor import EndKept
from service.paths import StateDir
from service.settings import Settings
from service.store import Store

# Seconds after the grace: the supervisor gives up on a process that KILL doesn't end after thirty.
_ENDED_S: Final = 45.0
# Seconds of grace when a job is cleaned: those that every job's leftovers have at its end.
_CLEAN_GRACE_S: Final = 2.0
# What is looked up in a directory is an ID, whatever a caller gives for one.
_ID: Final = re.compile(r"[0-9a-f-]{36}")

_log = structlog.get_logger("jobrunner.engine")


class KeptProcesses:
    """A listener of the session. `changed` is called with a job that has a receipt now."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        session: KeptSession,
        changed: Callable[[str, State], None],
    ) -> None:
        self._directory = StateDir(settings.state_dir).kept
        self._store = store
        self._session = session
        self._changed = changed
        self._tasks = OwnedTasks()
        self._endings: dict[str, set[asyncio.Task[bool]]] = {}

    # A listener

    def connected(self, _session: SupervisorSession, _hello: SupervisorHello) -> None:
        """Go on with what was requested and isn't known to be done."""
        self._tasks.begin(self._go_on(), name="kept processes")

    def lost(self) -> None:
        """What is under way asks the next supervisor."""

    def awake(self) -> None:
        """What was sent has arrived."""

    async def close(self) -> None:
        """Leave what is under way to another worker, or to the next start."""
        await self._tasks.cancel()

    # What others ask

    def has(self, job_id: str) -> bool:
        """Whether a finished job has processes that are kept, or whose end isn't stored."""
        return _ID.fullmatch(job_id) is not None and os.path.lexists(self._directory / job_id)

    def count(self) -> int:
        """Of how many jobs."""
        return len(self._ids())

    def finished(self, job_id: str) -> None:
        """The end of a job that has kept processes is stored; it may have been killed meanwhile."""
        self._tasks.begin(self._go_on_with(job_id), name="kept processes")

    def begin(self, job_id: str, kill: Kill) -> None:
        """End what the job has kept."""
        task = self._tasks.begin(self._end(job_id, kill), name="kept processes")
        self._endings.setdefault(job_id, set()).add(task)
        task.add_done_callback(lambda done: self._over(job_id, done))

    def is_being_ended(self, job_id: str) -> bool:
        """Whether the end of what the job has kept was requested, and there is no receipt yet."""
        if not self.has(job_id) or (record := self._store.get(job_id)) is None:
            return False
        return record.kill is not None and record.kill.found is None

    async def wait(self, job_id: str) -> None:
        """Return once what `begin` began is done. Raises: Unavailable, InsufficientStorage."""
        for task in list(self._endings.get(job_id, ())):
            await self._result(task)

    async def clean(self, job_id: str) -> bool:
        """End what the job has kept, as it is cleaned; False: a process can't be ended.

        Raises: InsufficientStorage, Unavailable.
        """
        kill = _kill("SIGTERM", _CLEAN_GRACE_S)
        return await self._result(self._tasks.begin(self._end(job_id, kill), name="clean"))

    # How

    async def _result(self, task: asyncio.Task[bool]) -> bool:
        await asyncio.wait([task])
        if task.cancelled():
            raise Unavailable("This worker is stopping.")
        return task.result()

    def _over(self, job_id: str, task: asyncio.Task[bool]) -> None:
        self._endings[job_id].discard(task)
        if not self._endings[job_id]:
            del self._endings[job_id]

    def _ids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._directory) if not name.startswith(".")]
        except FileNotFoundError:
            return []

    async def _go_on(self) -> None:
        for job_id in self._ids():
            await self._go_on_with(job_id)

    async def _go_on_with(self, job_id: str) -> None:
        record = self._store.get(job_id)
        if record is None:
            await self._end(job_id, _kill("SIGKILL", 0.0))
        elif record.state in FINISHED and record.kill is not None and record.kill.found is None:
            await self._ask(job_id, record.kill)

    async def _end(self, job_id: str, kill: Kill) -> bool:
        try:
            self._store.kills.add_late(job_id, kill)
        except JobrunnerError as exc:
            # A kill acts even when it can't be recorded.
            _log.error("kill_not_recorded", job=job_id, error=exc.detail)
        return await self._ask(job_id, kill)

    async def _ask(self, job_id: str, kill: Kill) -> bool:
        message: EndKept = {
            "type": "end_kept",
            "job": job_id,
            "signal": signal_number(kill.signal),
            "grace_s": kill.grace_s,
            "requested_at": kill.requested_at,
            "reason": kill.reason.value,
        }
        reply = await self._session.request(message, kill.grace_s + _ENDED_S)
        if (receipt := reply.get("kill")) is not None:
            kill = receipt_of(receipt)
        else:
            record = self._store.get(job_id)
            known = kill if record is None or record.kill is None else record.kill
            if known.found is not None:
                return True  # another worker was faster
            # They had ended by themselves.
            kill = replace(known, found=0, escalated=False, verified_gone=True)
        is_gone = reply.get("is_gone", True)
        await stored(lambda: self._store.kills.carried_out(job_id, kill))
        if is_gone:
            (self._directory / job_id).unlink(missing_ok=True)
        if (state := self._store.state_of(job_id)) is not None:
            self._changed(job_id, state)
        _log.info("kept_processes_ended", job=job_id, found=kill.found, gone=is_gone)
        return is_gone


def _kill(signal: str, grace_s: float) -> Kill:
    at = time.time_ns()
    return Kill(reason=Reason.REQUESTED, requested_at=at, signal=signal, grace_s=grace_s)

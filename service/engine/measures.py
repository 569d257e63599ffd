"""What live jobs have used, for a list that is ordered by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from service.engine.usage import UsageOfJobs
from service.errors import CorruptLog
from service.files.job import job_files
from service.jobs.visibility import Visibility
from service.output.reader import LogReader
from service.settings import Settings
from service.store import Order, Query, Store


class Measures:
    """Those of the running jobs of all workers; a pending one has used nothing."""

    def __init__(self, settings: Settings, store: Store, usage: UsageOfJobs) -> None:
        self._settings = settings
        self._store = store
        self._usage = usage

    async def of(self, query: Query, visible: Visibility) -> dict[str, int]:
        """The measure of the query's order by ID, as far as it can be told now: microseconds of
        processor time, bytes of memory that are held now, bytes of output. Raises: Unavailable.
        """
        if not query.order.is_by_use:
            return {}
        running = self._store.lists.running(query, visible)
        if query.order is Order.OUTPUT:
            return await asyncio.to_thread(_output_ends, self._settings.state_dir, running)
        used = await self._usage.measure(running)
        if query.order is Order.CPU:
            return {job_id: int((usage.cpu_s or 0) * 1e6) for job_id, usage in used.items()}
        return {job_id: usage.memory_bytes or 0 for job_id, usage in used.items()}


def _output_ends(state_dir: Path, job_ids: Sequence[str]) -> dict[str, int]:
    return {job_id: _output_end(job_files(state_dir, job_id).log) for job_id in job_ids}


def _output_end(log: str) -> int:
    try:
        with LogReader.open(log) as reader:
            return reader.whole_state().end
    except (CorruptLog, OSError):  # it has no byte of output yet, or can't be read now
        return 0

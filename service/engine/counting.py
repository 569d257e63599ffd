"""Storing what changed of jobs, and counting what that really changed.

Any worker may store an event, and two may store the same one: the job's state in the records, read
in the same transaction, says which of them changed it.
"""

from __future__ import annotations

from service.jobs.record import JobRecord
from service.metrics.series import Metrics
from service.store import Store


class Counting:
    """Stores records, and tells `metrics` once they are committed."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def update(self, *records: JobRecord) -> None:
        """Store what changed of live jobs, all or nothing. Raises: NoRoom, Unavailable."""
        stored = []
        with self._store.transaction():
            for record in records:
                before = self._store.state_of(record.id)
                if self._store.update(record):
                    stored.append((before, record))
        for before, record in stored:
            self._metrics.changed(before, record)

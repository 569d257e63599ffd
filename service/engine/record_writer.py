"""Stores changed records, and counts each change in the metrics once.

Any worker may store an event, and two may store the same one: the update is conditional on the
stored state, and so tells which of them changed it.
"""

from __future__ import annotations

from collections.abc import Mapping

from service.jobs.record import JobRecord
from service.jobs.states import State
from service.metrics.series import Metrics
from service.store import Store


class RecordWriter:
    """Stores records, and updates `metrics` once they are committed."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def update(self, *records: JobRecord, before: Mapping[str, State] | None = None) -> None:
        """Store changes of live jobs, all or nothing. `before`: their states by ID as far as the
        caller knows; it saves a query.

        Raises: Overtaken; InsufficientStorage, Unavailable.
        """
        known = before or {}

        def update_all() -> list[tuple[State, JobRecord]]:
            stored = []
            for record in records:
                was = self._store.update(record, before=known.get(record.id, State.RUNNING))
                if was is not None:
                    stored.append((was, record))
            return stored

        # One is a transaction by itself, and cheaper so.
        for was, record in self._store.atomically(update_all) if len(records) > 1 else update_all():
            self._metrics.changed(was, record)

    def end_damaged(self, record: JobRecord) -> None:
        """Store the end of a live job whose row can't be read.

        Raises: InsufficientStorage, Unavailable.
        """
        if self._store.end_damaged(record):
            self._metrics.changed(State.RUNNING, record)

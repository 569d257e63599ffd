"""Which jobs join a stream of many, decided on their records.

A job joins when it has output to read: when it starts, or at its end if it never started. So a
pending job isn't anywhere yet, whatever else is wanted.
"""

from __future__ import annotations

import zlib

import msgspec

from service.jobs.record import JobRecord
from service.jobs.states import LIVE, State
from service.store import Selection


class JoiningJobs(msgspec.Struct, frozen=True):
    """Those of a selection. Its states are those in which a job joins: a running one when it
    starts, a finished one at its end.
    """

    selection: Selection
    times: str = ""  # what was asked for as `since` and `until`, which may be durations back

    def checksum(self) -> int:
        """Another selection hardly has the same."""
        parts: list[object] = [self.times]
        parts += [
            sorted(value) if isinstance(value, frozenset) else value
            for name in Selection.__struct_fields__
            if name not in ("since", "until")
            for value in [getattr(self.selection, name)]
        ]
        return zlib.crc32(repr(parts).encode(errors="surrogatepass"))

    def joins(self, record: JobRecord) -> bool:
        """Whether a job whose record has just changed joins, if it hasn't."""
        states = self.selection.states
        if record.state is State.PENDING or not self._has(record):
            return False
        if record.state in states:
            return True
        # It was in that state meanwhile, and nobody has looked.
        was_running = State.RUNNING in states and record.started_at is not None
        return was_running or (record.state is not State.RUNNING and states >= LIVE)

    def _has(self, record: JobRecord) -> bool:
        """What of the selection isn't about states."""
        wanted = self.selection
        name, at = record.name, record.created_at
        prefix = wanted.name_prefix
        return (
            record.id.startswith(wanted.id_prefix or "")
            and (wanted.name is None or name == wanted.name)
            and (prefix is None or (name is not None and name.startswith(prefix)))
            and all(record.labels.get(key) == value for key, value in wanted.labels)
            and (wanted.since is None or at >= wanted.since)
            and (wanted.until is None or at < wanted.until)
            and (wanted.exit_code is None or record.exit_code == wanted.exit_code)
            and (not wanted.has_failed or (record.state not in LIVE and record.exit_code != 0))
            and (wanted.reasons is None or record.reason in wanted.reasons)
        )

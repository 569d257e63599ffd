"""The series of the service, and when they move. No ID, no name and no path is ever a label.

What is stored is counted by who stored it, once its commit is through, and only when that changed
the record: an event that comes twice, or to two workers, counts once. A worker killed between the
two leaves that change uncounted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.jobs.record import JobRecord
from service.jobs.states import FINISHED, Reason, State
from service.metrics.shared import NotShared, WorkerSlot
from service.output.formats.registry import FORMATS

# Seconds. A command that does nothing takes a millisecond or two; a job may take days.
_WAITS: Final = (0.001, 0.0025, 0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3600, 21600)
_DURATIONS: Final = (0.0025, 0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
# Seconds. The upper ones are for those who attach and wait.
_ANSWERS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60, 600)

# What a reader over a WebSocket is counted as.
WEBSOCKET: Final = "websocket"
# What an open answer with a file, and an upload, are counted as.
FILES: Final = ("file", "archive", "upload")

_log = structlog.get_logger("jobrunner.app")


def worker_metrics(state_dir: Path) -> Metrics:
    """The series of this worker, shared with the others where that is possible."""
    try:
        return Metrics(WorkerSlot(state_dir))
    except NotShared as exc:
        _log.warning("metrics_not_shared", why=str(exc))
        return Metrics()


class Metrics:
    """The series of one worker; without a slot they are only its own."""

    def __init__(self, slot: WorkerSlot | None = None) -> None:
        self._slot = slot
        # Scraped only without a slot; with one, the files are.
        self.registry = CollectorRegistry()
        self._requests: dict[tuple[str, str, str], Histogram] = {}
        with self._writing():
            self._make()

    @property
    def slot(self) -> WorkerSlot | None:
        return self._slot

    def _make(self) -> None:
        one: Any = {"registry": self.registry}
        self._submitted = Counter("jobrunner_jobs_submitted", "Jobs accepted.", **one)
        finished = Counter("jobrunner_jobs_finished", "Jobs that ended.", ["state"], **one)
        self._finished = {state: finished.labels(state.value) for state in FINISHED}
        self._queue_wait = Histogram(
            "jobrunner_queue_wait_seconds",
            "From submission to the start of the first command.",
            buckets=_WAITS,
            **one,
        )
        duration = Histogram(
            "jobrunner_job_duration_seconds",
            "From the start of the first command to the end of the job.",
            ["state"],
            buckets=_DURATIONS,
            **one,
        )
        self._duration = {state: duration.labels(state.value) for state in FINISHED}
        self._output = Counter("jobrunner_output_bytes", "Output of jobs that ended.", **one)
        self._input = Counter("jobrunner_input_bytes", "Input of jobs that ended.", **one)
        kills = Counter("jobrunner_kills", "Jobs that the service ended.", ["reason"], **one)
        self._kills = {reason: kills.labels(reason.value) for reason in Reason}
        self._escalations = Counter(
            "jobrunner_kill_escalations", "Kills that took KILL, after the grace.", **one
        )
        readers = Gauge(
            "jobrunner_attached_readers",
            "Open answers with output.",
            ["format"],
            multiprocess_mode="livesum",
            **one,
        )
        names = (*(each.name for each in FORMATS), WEBSOCKET, *FILES)
        self._readers = {name: readers.labels(name) for name in names}
        moved = Counter(
            "jobrunner_file_bytes", "Bytes of files of jobs that were moved.", ["direction"], **one
        )
        self._moved = {word: moved.labels(word) for word in ("in", "out")}
        self._answers = Histogram(
            "jobrunner_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["method", "route", "status"],
            buckets=_ANSWERS,
            **one,
        )

    def submitted(self) -> None:
        """A new job is stored."""
        self._submitted.inc()

    def changed(self, before: State, record: JobRecord) -> None:
        """`record` is stored, where the job was in the state `before`."""
        if before is State.PENDING and (waited_s := record.queue_wait_s) is not None:
            self._queue_wait.observe(waited_s)
        if record.state in FINISHED:
            self._ended(record)

    def _ended(self, record: JobRecord) -> None:
        self._finished[record.state].inc()
        if (lasted_s := record.duration_s) is not None:
            self._duration[record.state].observe(lasted_s)
        self._output.inc(record.output_bytes or 0)
        self._input.inc(record.input_bytes or 0)
        if record.state is State.KILLED and record.reason is not None:
            self._kills[record.reason].inc()
            if record.kill is not None and record.kill.escalated:
                self._escalations.inc()

    def attached(self, format_name: str) -> None:
        """A reader of that format, by its word for `format=`, or over a WebSocket, has come."""
        self._readers[format_name].inc()

    def detached(self, format_name: str) -> None:
        self._readers[format_name].dec()

    def file_moved(self, direction: str, size: int) -> None:
        """Bytes of a file came `in`, or went `out`."""
        self._moved[direction].inc(size)

    def responded(self, method: str, route: str, status: str, seconds: float) -> None:
        """A request ended; all three words are of small sets."""
        key = (method, route, status)
        answers = self._requests.get(key)
        if answers is None:
            with self._writing():
                answers = self._requests[key] = self._answers.labels(*key)
        answers.observe(seconds)

    def _writing(self) -> AbstractContextManager[Any]:
        return self._slot.writing() if self._slot is not None else nullcontext()

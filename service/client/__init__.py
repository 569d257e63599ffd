"""The Python client of the service: `import jobrunner`.

`Client` blocks, `AsyncClient` is awaited; both carry out the flows of one core that knows no I/O.
Views of jobs are the service's own structs, errors its own classes, rebuilt from problem documents.
What breaks is asked for again at the byte where it broke, so a cut never looks like an end.
"""

from __future__ import annotations

from service.client.async_client import AsyncClient, AsyncJob
from service.client.async_rim import AsyncOutputReading, AsyncReading
from service.client.failures import (
    ClientClosed,
    CommandFailed,
    ServiceUnreachable,
    UnexpectedAnswer,
)
from service.client.results import Event, Gap, OutputBytes, Receipt, Record, Result
from service.client.retrying import Retry
from service.client.sync_client import Client, Job
from service.client.sync_rim import OutputReading, Reading
from service.errors import (
    BadQuery,
    BodyTooLarge,
    Draining,
    FilesLeft,
    IdempotencyKeyReused,
    InsufficientStorage,
    InternalError,
    InvalidJob,
    JobIsLive,
    JobNotPending,
    JobrunnerError,
    MissingScope,
    OffsetBeyondEnd,
    OffsetInGap,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnknownJob,
    UnknownProblem,
)
from service.jobs.views import JobView

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "AsyncOutputReading",
    "AsyncReading",
    "BadQuery",
    "BodyTooLarge",
    "Client",
    "ClientClosed",
    "CommandFailed",
    "Draining",
    "Event",
    "FilesLeft",
    "Gap",
    "IdempotencyKeyReused",
    "InsufficientStorage",
    "InternalError",
    "InvalidJob",
    "Job",
    "JobIsLive",
    "JobNotPending",
    "JobView",
    "JobrunnerError",
    "MissingScope",
    "OffsetBeyondEnd",
    "OffsetInGap",
    "OutputBytes",
    "OutputReading",
    "Reading",
    "Receipt",
    "Record",
    "Result",
    "Retry",
    "ServiceUnreachable",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "UnknownJob",
    "UnknownProblem",
]

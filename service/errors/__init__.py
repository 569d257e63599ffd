"""One error tree with a stable `code` per leaf, for the server and for its clients.

A status of 500 marks a fault of the service: its caller is told an `InternalError` instead.
Standard library only: the supervisor loads this package.
"""

from __future__ import annotations

from service.errors.faults import (
    CorruptLog,
    IllegalTransition,
    NoHoles,
    OutputDropped,
    OutputError,
    WatcherClosed,
)
from service.errors.field import (
    MAX_FIELD_ERRORS,
    MAX_QUOTED_CHARS,
    FieldError,
    pointer_step,
    quoted,
)
from service.errors.jobs import (
    FilesLeft,
    IdempotencyKeyReused,
    InsufficientStorage,
    InternalError,
    InvalidJob,
    JobIsLive,
    MalformedBody,
    NotReady,
    OffsetBeyondEnd,
    OffsetInGap,
    RecordsLocked,
    Unavailable,
    UnknownJob,
    refuse_if_any,
)
from service.errors.requests import (
    BadHeader,
    BadQuery,
    BodyTooLarge,
    Draining,
    HeadTooLarge,
    HostNotAllowed,
    IncompleteRequest,
    MethodNotAllowed,
    MissingScope,
    NotAcceptable,
    OriginNotAllowed,
    TooManyRequests,
    Unauthenticated,
    UnknownRoute,
    UnsupportedMediaType,
)
from service.errors.tree import LEAVES, TYPE_PREFIX, JobrunnerError, UnknownProblem

__all__ = [
    "LEAVES",
    "MAX_FIELD_ERRORS",
    "MAX_QUOTED_CHARS",
    "TYPE_PREFIX",
    "BadHeader",
    "BadQuery",
    "BodyTooLarge",
    "CorruptLog",
    "Draining",
    "FieldError",
    "FilesLeft",
    "HeadTooLarge",
    "HostNotAllowed",
    "IdempotencyKeyReused",
    "IllegalTransition",
    "IncompleteRequest",
    "InsufficientStorage",
    "InternalError",
    "InvalidJob",
    "JobIsLive",
    "JobrunnerError",
    "MalformedBody",
    "MethodNotAllowed",
    "MissingScope",
    "NoHoles",
    "NotAcceptable",
    "NotReady",
    "OffsetBeyondEnd",
    "OffsetInGap",
    "OriginNotAllowed",
    "OutputDropped",
    "OutputError",
    "RecordsLocked",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnknownJob",
    "UnknownProblem",
    "UnknownRoute",
    "UnsupportedMediaType",
    "WatcherClosed",
    "pointer_step",
    "quoted",
    "refuse_if_any",
]

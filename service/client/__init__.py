"""The Python client of the service: `import jobrunner`.

`Client` blocks, `AsyncClient` is awaited; both carry out the flows of one core that knows no I/O.
Views of jobs are the service's own structs, errors its own classes, rebuilt from problem documents.
What breaks is asked for again at the byte where it broke, so a cut never looks like an end.

Each name is loaded when it is used first: a program that blocks loads no event loop, and one that
only catches errors no HTTP.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.client.async_client import AsyncClient
    from service.client.async_files import AsyncFiles
    from service.client.async_job import AsyncJob
    from service.client.async_rim import AsyncOutputReading, AsyncReading, AsyncSearchReading
    from service.client.failures import (
        ClientClosed,
        CommandFailed,
        ServiceUnreachable,
        UnexpectedAnswer,
    )
    from service.client.results import (
        End,
        Event,
        Followed,
        Gap,
        Match,
        OutputBytes,
        Receipt,
        Record,
        Result,
    )
    from service.client.retrying import Retry
    from service.client.searching import Search
    from service.client.selection import Selection, Selectors
    from service.client.sync_client import Client
    from service.client.sync_files import Files
    from service.client.sync_job import Job
    from service.client.sync_rim import OutputReading, Reading, SearchReading
    from service.errors import (
        BadArchive,
        BadPath,
        BadQuery,
        BodyTooLarge,
        DirectoryNotEmpty,
        Draining,
        FileBusy,
        FileForbidden,
        FilesLeft,
        IdempotencyKeyReused,
        InputClosed,
        InputOffset,
        InsufficientStorage,
        InternalError,
        InvalidJob,
        JobIsLive,
        JobNotHeld,
        JobNotPending,
        JobNotRunning,
        JobrunnerError,
        MissingScope,
        NoForeground,
        NoInput,
        NoTerminal,
        OffsetBeyondEnd,
        OffsetInGap,
        OutcomeUnknown,
        PreconditionFailed,
        SignalNotPassedOn,
        SubmissionLost,
        TooManyRequests,
        Unauthenticated,
        Unavailable,
        UnknownFile,
        UnknownJob,
        UnknownProblem,
        WrongFileType,
    )
    from service.jobs.views import FileEntry, JobView, LinesView, LineView

__all__ = [
    "AsyncClient",
    "AsyncFiles",
    "AsyncJob",
    "AsyncOutputReading",
    "AsyncReading",
    "AsyncSearchReading",
    "BadArchive",
    "BadPath",
    "BadQuery",
    "BodyTooLarge",
    "Client",
    "ClientClosed",
    "CommandFailed",
    "DirectoryNotEmpty",
    "Draining",
    "End",
    "Event",
    "FileBusy",
    "FileEntry",
    "FileForbidden",
    "Files",
    "FilesLeft",
    "Followed",
    "Gap",
    "IdempotencyKeyReused",
    "InputClosed",
    "InputOffset",
    "InsufficientStorage",
    "InternalError",
    "InvalidJob",
    "Job",
    "JobIsLive",
    "JobNotHeld",
    "JobNotPending",
    "JobNotRunning",
    "JobView",
    "JobrunnerError",
    "LineView",
    "LinesView",
    "Match",
    "MissingScope",
    "NoForeground",
    "NoInput",
    "NoTerminal",
    "OffsetBeyondEnd",
    "OffsetInGap",
    "OutcomeUnknown",
    "OutputBytes",
    "OutputReading",
    "PreconditionFailed",
    "Reading",
    "Receipt",
    "Record",
    "Result",
    "Retry",
    "Search",
    "SearchReading",
    "Selection",
    "Selectors",
    "ServiceUnreachable",
    "SignalNotPassedOn",
    "SubmissionLost",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "UnknownFile",
    "UnknownJob",
    "UnknownProblem",
    "WrongFileType",
]

# Where each name stands; type checkers read the imports above.
_MODULES: dict[str, tuple[str, ...]] = {
    "service.client.async_client": ("AsyncClient",),
    "service.client.async_job": ("AsyncJob",),
    "service.client.async_rim": ("AsyncOutputReading", "AsyncReading", "AsyncSearchReading"),
    "service.client.failures": (
        "ClientClosed",
        "CommandFailed",
        "ServiceUnreachable",
        "UnexpectedAnswer",
    ),
    "service.client.results": (
        "End",
        "Event",
        "Followed",
        "Gap",
        "Match",
        "OutputBytes",
        "Receipt",
        "Record",
        "Result",
    ),
    "service.client.retrying": ("Retry",),
    "service.client.searching": ("Search",),
    "service.client.selection": ("Selection", "Selectors"),
    "service.client.sync_client": ("Client",),
    "service.client.sync_job": ("Job",),
    "service.client.sync_rim": ("OutputReading", "Reading", "SearchReading"),
    "service.client.async_files": ("AsyncFiles",),
    "service.client.sync_files": ("Files",),
    "service.jobs.views": ("FileEntry", "JobView", "LineView", "LinesView"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
_ERRORS = "service.errors"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, _ERRORS)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

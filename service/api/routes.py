"""Every route as data: what it takes, what it answers, and where one can go from there.

The description of the API is made from this table and from the types that validate and render; the
handlers don't read it. Tests hold the two together: every route of the app stands here and nothing
else does, each names the query parameters that its handler knows, and nothing is answered that
isn't said here. HEAD, which works where GET does, isn't listed.
"""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from typing import Any, Final

from service import errors
from service.api.queries import MAX_LIMIT, MAX_OFFSET
from service.api.views import Accepted, JobView, Killed, Listing, Live, Ready
from service.jobs.fields import MAX_LABELS, MAX_SECONDS
from service.jobs.lifecycle import JOB_STATES
from service.jobs.spec import JobBody

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
_SERIES: Final = ("text/plain", "application/openmetrics-text")
_STATES: Final = "|".join(state.value for state in JOB_STATES)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One that may be given. `where` is `path`, `query` or `header`, as OpenAPI has it."""

    name: str
    schema: dict[str, Any]
    meaning: str
    where: str = "query"


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that is no problem: a JSON body of the type `body`, or `content` as it is."""

    status: int
    meaning: str
    body: type | None = None
    content: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """Another operation that takes what an answer has; `source` is a runtime expression."""

    operation: str
    source: str
    parameter: str = "ID"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `public`: it needs no token."""

    method: str
    path: str
    operation: str
    meaning: str
    successes: tuple[Success, ...]
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[type[errors.JobrunnerError], ...] = ()
    body: type | None = None
    links: tuple[Link, ...] = ()
    public: bool = False


_TRUTH: Final = {"type": "boolean"}
_SECONDS: Final = {"type": "number", "minimum": 0, "maximum": MAX_SECONDS}
_SIGNALS: Final = [name for s in signals.Signals for name in (s.name, s.name.removeprefix("SIG"))]
_AT: Final[dict[str, Any]] = {"headers": ("Location",)}
_JOB: Final = "$response.body#/ID"

ID: Final = Parameter(
    "ID", {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}, "The job's ID.", "path"
)

_LIST: Final = (
    Parameter(
        "state",
        {"type": "string", "pattern": f"^(all|({_STATES})(,({_STATES}))*)$"},
        "The states wanted, separated by commas, or `all`; live ones when not given.",
    ),
    Parameter("name", {"type": "string"}, "Jobs of this name."),
    Parameter(
        "label",
        {
            "type": "array",
            "items": {"type": "string", "pattern": "^[^=]+="},
            "maxItems": MAX_LABELS,
        },
        "`name=value`: jobs with this label. Repeated: with all of them.",
    ),
    Parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT},
        "Jobs of a page.",
    ),
    Parameter("after", {"type": "string"}, "The `Next` of the page before."),
    Parameter("view", {"type": "string", "enum": ["full", "ids"]}, "`full` adds `Jobs`."),
)

_ATTACH: Final = (
    Parameter(
        "offset",
        {"type": "integer", "minimum": -MAX_OFFSET, "maximum": MAX_OFFSET, "default": 0},
        "Where to begin; a negative one counts from the present end.",
    ),
    Parameter(
        "stream",
        {"type": "string", "enum": ["stdout", "stderr"]},
        "Only this one; offsets then count its bytes.",
    ),
    Parameter("follow", {**_TRUTH, "default": True}, "Whether to go on until the job ends."),
    Parameter(
        "gaps",
        {"type": "string", "enum": ["cut", "mark"], "default": "cut"},
        "Where bytes were dropped: the answer is cut, or a line says so.",
    ),
)

_KILL: Final = (
    Parameter(
        "signal",
        {"type": "string", "enum": _SIGNALS, "default": "TERM"},
        "The first signal that its processes get.",
    ),
    Parameter("grace", _SECONDS, "Seconds until KILL; the job's own when not given. 0: at once."),
    Parameter("wait", {**_TRUTH, "default": False}, "Whether to answer when it has ended."),
)

_KEY: Final = Parameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
    "Repeated with the same body it leads to the same job.",
    "header",
)

_OF_A_JOB: Final = tuple(
    Link(operation, _JOB) for operation in ("show", "attach", "wait", "kill", "clean")
)

ROUTES: Final = (
    Route(
        "POST",
        "/",
        "submit",
        "Submit a job.",
        (
            Success(
                201,
                "Stored: it will run, or be reported as not run.",
                Accepted,
                (JSON,),
                ("Location",),
            ),
            Success(
                200, "That key and body led to this job before.", Accepted, (JSON,), ("Location",)
            ),
        ),
        (_KEY,),
        (
            errors.BadHeader,
            errors.MalformedBody,
            errors.UnsupportedMediaType,
            errors.InvalidJob,
            errors.IdempotencyKeyReused,
            errors.InsufficientStorage,
        ),
        JobBody,
        _OF_A_JOB,
    ),
    Route(
        "GET",
        "/",
        "list",
        "Jobs, oldest first.",
        (Success(200, "One page.", Listing, headers=("Link",)),),
        _LIST,
        (errors.BadQuery,),
        links=(
            Link("show", "$response.body#/IDs/0"),
            Link("list", "$response.body#/Next", "after"),
        ),
    ),
    Route(
        "GET",
        "/{ID}",
        "show",
        "The job as it is now.",
        (Success(200, "The job.", JobView),),
        (ID,),
        (errors.BadQuery, errors.UnknownJob),
        links=_OF_A_JOB,
    ),
    Route(
        "DELETE",
        "/{ID}",
        "kill",
        "Kill the job, with all its processes. For one that is finished, or unknown: nothing.",
        (Success(200, "Its state then.", Killed),),
        (ID, *_KILL),
        (errors.BadQuery, errors.UnsupportedMediaType),
    ),
    Route(
        "GET",
        "/{ID}/attach",
        "attach",
        "The output from any offset, then live until the job ends.",
        (
            Success(
                200,
                "The bytes as they came. An answer that ends cleanly is whole; else it is cut.",
                None,
                ("text/plain", BYTES),
                ("Jobrunner-Offset",),
            ),
        ),
        (ID, *_ATTACH),
        (
            errors.BadQuery,
            errors.UnknownJob,
            errors.NotAcceptable,
            errors.OffsetBeyondEnd,
            errors.OffsetInGap,
        ),
    ),
    Route(
        "GET",
        "/{ID}/wait",
        "wait",
        "The job when it is finished.",
        (Success(200, "The job: finished, unless the timeout was over before.", JobView),),
        (ID, Parameter("timeout", _SECONDS, "Seconds after which to answer in any case.")),
        (errors.BadQuery, errors.UnknownJob),
    ),
    Route(
        "POST",
        "/{ID}/clean",
        "clean",
        "Forget a finished job: record, output, working directory.",
        (Success(200, "It is gone.", Accepted),),
        (ID,),
        (
            errors.BadQuery,
            errors.UnknownJob,
            errors.JobIsLive,
            errors.UnsupportedMediaType,
            errors.InsufficientStorage,
        ),
    ),
    Route(
        "GET",
        "/health/live",
        "live",
        "Whether this process is there.",
        (Success(200, "Yes.", Live),),
        public=True,
    ),
    Route(
        "GET",
        "/health/ready",
        "ready",
        "Whether a job would be taken now.",
        (Success(200, "Yes; what was looked at.", Ready),),
        (),
        (errors.NotReady,),
        public=True,
    ),
    Route(
        "GET",
        "/metrics",
        "metrics",
        "The numbers of the whole service, for Prometheus.",
        (
            Success(
                200,
                "In the format asked for.",
                None,
                ("text/plain", "application/openmetrics-text"),
            ),
        ),
    ),
    Route(
        "GET",
        "/openapi.json",
        "openapi",
        "This description.",
        (Success(200, "OpenAPI 3.1.", dict),),
    ),
)

"""The description of the API, OpenAPI 3.1, from the declared routes and the types of bodies."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import service
from service.api import problems
from service.api.examples import REF, examples, examples_of, examples_of_problems
from service.api.parameters import Parameter, parameters
from service.api.portable import portable
from service.api.route import JSON, Route, Success, Tag
from service.api.schemas import reference, schemas
from service.errors import LEAVES, OffsetBeyondEnd, OffsetInGap
from service.errors.tree import code_of_status

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "From `jobrunner token create`."},
    "certificate": {"type": "mutualTLS", "description": "Its common name is a token's name."},
}
# Any of them. The empty one: while the service has no tokens, on its own box, nothing is asked for.
SECURITY: Final[list[dict[str, list[str]]]] = [{}, {"token": []}, {"certificate": []}]

HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Location": ("Where the job is.", {"type": "string", "format": "uri-reference"}),
    "Link": ('The next page (`rel="next"`), when there is more.', {"type": "string"}),
    "Jobrunner-Offset": (
        "Where this answer begins: what a negative offset came to.",
        {"type": "integer", "minimum": 0},
    ),
    "Jobrunner-Next": (
        "The offset behind the last byte of this answer.",
        {"type": "integer", "minimum": 0},
    ),
    "Jobrunner-Elided": (
        "With `head` or `tail_bytes`: the offsets between which nothing was sent, `FROM-TO`.",
        {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
    ),
    "Accept-Ranges": ("`bytes`, where a range can be asked for.", {"type": "string"}),
    "Cache-Control": (
        "Of output: `no-store` while the job is live, `private, immutable` afterwards.",
        {"type": "string"},
    ),
    "ETag": (
        "Of output: always the same, also while it grows. Of a file: another for each version.",
        {"type": "string", "pattern": '^".*"$'},
    ),
    "Last-Modified": ("When the file was changed last.", {"type": "string"}),
    "Content-Disposition": ("The name of the file.", {"type": "string"}),
    "Jobrunner-State": (
        "How a finished job ended. A chunked response has this and the fields below as trailers.",
        {"type": "string"},
    ),
    "Jobrunner-Reason": ("Why it was killed.", {"type": "string"}),
    "Jobrunner-ExitCode": ("Its exit code.", {"type": "integer"}),
    "Jobrunner-Signal": ("The signal that ended it.", {"type": "string"}),
    "Jobrunner-Bytes": ("Bytes of its output.", {"type": "integer", "minimum": 0}),
    "Jobrunner-Stdout": ("Bytes of its standard output.", {"type": "integer", "minimum": 0}),
    "Jobrunner-Stderr": ("Bytes of its standard error.", {"type": "integer", "minimum": 0}),
    "Content-Range": (
        "The range that is sent; with 416 the size of what there is.",
        {"type": "string", "pattern": r"^bytes (\*/\d+|\d+-\d+/(\*|\d+))$"},
    ),
    "Jobrunner-SHA256": (
        "The digest of its output; in the head once it is known.",
        {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    ),
    "Set-Cookie": ("The cookie of a login, or its end.", {"type": "string"}),
    "WWW-Authenticate": ("What to send, or what is missing.", {"type": "string"}),
    "Retry-After": ("Seconds after which to ask again.", {"type": "integer", "minimum": 0}),
}

# Whatever is asked for: HTTP itself is broken, or the service is.
ANYWHERE: Final[dict[int, str]] = {
    400: "bad_request: not HTTP as it should be",
    401: "unauthenticated: no good token came",
    403: "host_not_allowed, origin_not_allowed; missing_scope, which `scope` names",
    408: "request_timeout: the request didn't come to its end",
    413: "body_too_large",
    417: "expectation_failed: an Expect that isn't 100-continue",
    429: "too_many_requests",
    431: "head_too_large: the request line and the headers",
    500: "internal_error: an error of the service's own, found in its log by `error_id`",
    503: "unavailable: no file descriptor is free, the records can't be reached, or a worker stops",
}

_TITLE: Final = "jobrunner"
_ABOUT: Final = (
    "Jobs run on the host of the service: submit one, attach to its output from any offset, wait"
    " for it, kill it with all its processes. Names of JSON keys are PascalCase. An error is a"
    " problem document (RFC 9457), whose `type` ends with a code."
)
TAGS: Final[dict[Tag, str]] = {
    Tag.JOBS: "Submit jobs; list, show, wait for, kill and clean them.",
    Tag.OUTPUT: "What jobs have written.",
    Tag.FILES: "Files of jobs: list, read, write, remove; whole directories as archives.",
    Tag.SERVICE: "The service itself: its health, its numbers, its description.",
}

EVENT_STREAM: Final = "text/event-stream"


def document(routes: Iterable[Route[Any]], prefix: str = "") -> dict[str, Any]:
    """The description as JSON has it, of a service that callers find below `prefix`."""
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = paths.setdefault(route.path, {})
        path[route.method.lower()] = _operation(route)
        if route.method == "GET":
            path["head"] = _head(path["get"])
    successes = [success for route in routes for success in route.successes]
    bodies = {body for each in successes for body in (each.body, each.or_body)}
    bodies |= {route.body for route in routes}
    described = schemas(*sorted(bodies - {None, dict}, key=str))  # type: ignore[arg-type]
    components: dict[str, Any] = {
        "schemas": described,
        "examples": examples(described, _named_examples(paths)),
        "headers": {
            name: {"description": meaning, "schema": portable(schema)}
            for name, (meaning, schema) in HEADERS.items()
        },
        "securitySchemes": SECURITY_SCHEMES,
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": _TITLE,
            "version": service.__version__,
            "summary": (service.__doc__ or "").split("\n")[0],
            "description": _ABOUT,
            "contact": {"name": "the jobrunner authors"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": prefix or "/", "description": "Where this description is from."}],
        "tags": [{"name": tag.value, "description": meaning} for tag, meaning in TAGS.items()],
        "security": SECURITY,
        "paths": paths,
        "components": components,
    }


def _operation(route: Route[Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "tags": [route.tag.value],
        "summary": route.meaning,
        "description": _told(route),
        "parameters": [_parameter(p) for p in parameters(route.parameters).values()],
        "responses": {
            **{str(success.status): _success(success, route) for success in route.successes},
            **_problems(route),
        },
    }
    if route.public_path is not None:
        operation["security"] = []
    if route.body is not None:
        content = {"schema": reference(route.body), "examples": examples_of(route.body)}
        operation["requestBody"] = {
            "required": not route.body_is_optional,
            "content": dict.fromkeys(route.media, content),
        }
    elif route.is_streamed:
        operation["requestBody"] = {
            "required": False,
            "content": {media: {} for media in route.media},  # bytes have no schema
        }
    return operation


def _told(route: Route[Any]) -> str:
    needed = (
        "No token is needed."
        if route.public_path is not None
        else f"Needs the scope `{route.scope}`."
    )
    names = {p.name for p in parameters(route.parameters).values()}
    together = " ".join(route.agreement.among(names).told())
    return " ".join(part for part in (route.meaning, route.details, together, needed) if part)


def _head(get: dict[str, Any]) -> dict[str, Any]:
    """As GET, without the bodies, and what would follow from them."""
    bodiless = {
        status: {k: v for k, v in response.items() if k not in ("content", "links")}
        for status, response in get["responses"].items()
    }
    operation_id = f"{get['operationId']}Head"
    return {**get, "operationId": operation_id, "responses": bodiless}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where.value,
        "description": parameter.meaning,
        "schema": portable(parameter.schema()),
    }
    return {**described, "required": True} if parameter.is_required else described


def _success(success: Success, route: Route[Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": success.meaning,
        "content": {kind: _content(kind, success) for kind in success.content},
    }
    if success.headers:
        described["headers"] = _headers(*success.headers)
    if route.links:
        described["links"] = {
            link.operation: {
                "operationId": link.operation,
                "parameters": {link.parameter: link.source},
            }
            for link in route.links
        }
    return described


def _content(kind: str, success: Success) -> dict[str, Any]:
    """What a response of this media type has: a JSON body, text or bytes."""
    body, other = success.body, success.or_body
    if kind == EVENT_STREAM:
        # Some readers of a description take an event for what is described, some all of the text.
        return {"schema": {}}
    if body is None or kind != JSON:
        is_text = kind.startswith("text/")
        return {"schema": {"type": "string"} if is_text else {"type": "string", "format": "binary"}}
    if body is dict:
        return {"schema": {"type": "object"}}
    if other is not None:
        either = {"anyOf": [reference(other), reference(body)]}
        return {"schema": either, "examples": examples_of(body) | examples_of(other)}
    return {"schema": reference(body), "examples": examples_of(body)}


def _problems(route: Route[Any]) -> dict[str, Any]:
    """Every status that isn't a success, with the codes that stand in the problem's `type`."""
    told: dict[int, list[str]] = {}
    for problem in route.problems:
        told.setdefault(problem.status, []).append(problem.code)
    for status, meaning in ANYWHERE.items():
        told.setdefault(status, []).append(meaning)
    ranged = {OffsetBeyondEnd.status, OffsetInGap.status}
    described = {}
    for status, codes in sorted(told.items()):
        response: dict[str, Any] = {
            "description": "; ".join(codes),
            "content": {
                problems.CONTENT_TYPE: {
                    "schema": reference(problems.Problem),
                    "examples": examples_of_problems(_codes(status, route)),
                }
            },
        }
        if status in (429, 503):
            response["headers"] = _headers("Retry-After")
        elif status == 401:
            response["headers"] = _headers("WWW-Authenticate")
        elif status in ranged:
            response["headers"] = _headers("Content-Range")
            response["content"] |= _of_no_range(route)
        described[str(status)] = response
    return described


def _of_no_range(route: Route[Any]) -> dict[str, Any]:
    """The content of a response to a range of which there is nothing: none, of the type that the
    range would have had.
    """
    empty = {"schema": {"type": "string", "maxLength": 0}}
    kinds = [kind for each in route.successes if each.status == 206 for kind in each.content]
    return dict.fromkeys(kinds, empty)


def _codes(status: int, route: Route[Any]) -> list[str]:
    """The codes that problems of this status may have there."""
    everywhere = ANYWHERE.get(status, "")
    told = [
        code
        for code, leaf in sorted(LEAVES.items())
        if leaf.status == status and (leaf in route.problems or code in everywhere)
    ]
    return told or [code_of_status(HTTPStatus(status))]


def _named_examples(described: Any) -> set[str]:
    """The names of the examples that a part of the description refers to."""
    if not isinstance(described, dict):
        return set()
    prefix = REF.format(name="")
    reference = str(described.get("$ref", ""))
    own = {reference.removeprefix(prefix)} if reference.startswith(prefix) else set()
    return own.union(*map(_named_examples, described.values()))


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}

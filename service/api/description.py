"""The description of the API, OpenAPI 3.1, from the declared routes and the types of bodies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import service
from service.api import problems
from service.api.parameters import Parameter, Where, parameters
from service.api.route import JSON, Route, Success
from service.api.schemas import reference, schemas
from service.errors import OffsetBeyondEnd, OffsetInGap

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
    "Content-Range": ("The end of the output.", {"type": "string", "pattern": r"^bytes \*/\d+$"}),
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
    500: "internal_error: an error of the service's own, found in its log by `error_id`",
    503: "unavailable: no file descriptor is free, the records can't be reached, or a worker stops",
}

_TITLE: Final = "jobrunner"


def document(routes: Iterable[Route[Any]]) -> dict[str, Any]:
    """The description as JSON has it."""
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = paths.setdefault(route.path, {})
        path[route.method.lower()] = _operation(route)
        if route.method == "GET":
            path["head"] = _head(path["get"])
    bodies = {success.body for route in routes for success in route.successes}
    components: dict[str, Any] = {
        "schemas": schemas(*sorted(bodies - {None, dict}, key=str)),  # type: ignore[arg-type]
        "headers": {
            name: {"description": meaning, "schema": schema}
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
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": SECURITY,
        "paths": paths,
        "components": components,
    }


def _operation(route: Route[Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.meaning,
        "parameters": [_parameter(p) for p in parameters(route.parameters).values()],
        "responses": {
            **{str(success.status): _success(success, route) for success in route.successes},
            **_problems(route),
        },
    }
    if route.is_public:
        operation["security"] = []
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": reference(route.body)}},
        }
    return operation


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
        "schema": parameter.schema(),
    }
    return {**described, "required": True} if parameter.where is Where.PATH else described


def _success(success: Success, route: Route[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"} if success.body is dict else {}
    if success.body not in (None, dict):
        schema = reference(success.body)
    described: dict[str, Any] = {
        "description": success.meaning,
        "content": {kind: {"schema": schema} for kind in success.content},
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
            "content": {problems.CONTENT_TYPE: {"schema": reference(problems.Problem)}},
        }
        if status in (429, 503):
            response["headers"] = _headers("Retry-After")
        elif status == 401:
            response["headers"] = _headers("WWW-Authenticate")
        elif status in ranged:
            response["headers"] = _headers("Content-Range")
        described[str(status)] = response
    return described


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}

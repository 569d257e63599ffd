"""Examples for the description of the API. Those of bodies are written here; those of responses are
made from the schemas, so that a new key stands in them by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from service.api.portable import NULL
from service.errors import LEAVES, FieldError, InvalidJob, JobrunnerError
from service.errors.tree import TYPE_PREFIX, code_of_status
from service.jobs.spec import JobBody, JobPatch

REF: Final = "#/components/examples/{name}"
_SCHEMA_REF: Final = "#/components/schemas/"

BODIES: Final[dict[type, dict[str, tuple[str, dict[str, Any]]]]] = {
    JobBody: {
        "Command": ("One command", {"CommandLine": "echo hello; sleep 1; echo done"}),
        "Sequence": (
            "Commands that run one after the other, with bounds",
            {
                "Name": "nightly",
                "Labels": {"branch": "main"},
                "Environment": {"LEVEL": "3"},
                "Timeout": 3600,
                "OutputLimit": 10_000_000,
                "Commands": [
                    {"CommandLine": "make test", "ContinueOnFailure": True},
                    {"CommandLine": "make report"},
                ],
            },
        ),
        "Container": (
            "A command in a container",
            {"Commands": [{"Kind": "docker", "Image": "busybox:1", "CommandLine": "echo hello"}]},
        ),
    },
    JobPatch: {
        "Changed": (
            "Another branch, and without a timeout",
            {"Labels": {"branch": "next"}, "Environment": {"BRANCH": "next"}, "Timeout": None},
        ),
    },
}

# By the names of keys: what says more than the first value of its type.
_VALUES: Final[Mapping[str, Any]] = {
    "ID": "0b8f6b2e-6f3d-4c8e-9a52-2f1c7a5d9e10",
    "State": "exited",
    "ExitCode": 0,
    "IDs": ["0b8f6b2e-6f3d-4c8e-9a52-2f1c7a5d9e10"],
    "Kind": "bash",
    "CommandLine": "echo hello",
    "CreatedAt": "2026-01-31T12:00:00.000000Z",
    "StartedAt": "2026-01-31T12:00:00.010000Z",
    "FinishedAt": "2026-01-31T12:00:00.020000Z",
    "WorkingDir": "/var/lib/jobrunner/jobs/0b8f6b2e-6f3d-4c8e-9a52-2f1c7a5d9e10/work",
    "Grace": 10.0,
    "Bytes": 6,
    "Excerpt": {"Text": "hello\n", "Head": [0, 6], "Tail": [6, 6], "Elided": None},
    "Head": [0, 6],
    "Tail": [6, 6],
    "Complete": True,
    "Ok": True,
    "Usable": True,
}
# By the names of keys that are null elsewhere, and by the types of JSON Schema.
_SIMPLE: Final[Mapping[str, Any]] = {
    "Signal": "SIGTERM",
    "Mode": "0644",
    "ModifiedAt": "2026-01-31T12:00:00.015000Z",
    "RequestedAt": "2026-01-31T12:00:00.015000Z",
    "array": [],
    "object": {},
    "string": "text",
    "integer": 0,
    "number": 0.0,
    "boolean": False,
}
# Real ones say more than a sentence about them.
_ERRORS: Final[Mapping[type[JobrunnerError], JobrunnerError]] = {
    InvalidJob: InvalidJob([FieldError("/Timeout", 'expected number, got string: "60"')])
}


def examples_of(body: type) -> dict[str, Any]:
    """References to the examples of a body, by name."""
    names = BODIES.get(body) or (body.__name__,)
    return {name: {"$ref": REF.format(name=name)} for name in names}


def examples_of_problems(codes: Iterable[str]) -> dict[str, Any]:
    """References to the examples of problems, by code."""
    return {code: {"$ref": REF.format(name=code)} for code in codes}


def examples(schemas: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of these names: of a body, of the schema of a response, of the code of a problem."""
    of_bodies = {name: each for bodies in BODIES.values() for name, each in bodies.items()}
    found: dict[str, Any] = {}
    for name in sorted(names):
        if name in of_bodies:
            summary, value = of_bodies[name]
            found[name] = {"summary": summary, "value": value}
        elif name in LEAVES:
            found[name] = {"summary": LEAVES[name].title, "value": _problem(LEAVES[name])}
        elif name in schemas:
            found[name] = {"value": _made(schemas[name], schemas)}
        else:
            status = next(each for each in HTTPStatus if code_of_status(each) == name)
            problem = _head_of_problem(name, status.phrase, status)
            found[name] = {"summary": status.phrase, "value": problem}
    return found


def _problem(leaf: type[JobrunnerError]) -> dict[str, Any]:
    if (error := _ERRORS.get(leaf)) is not None:
        return error.to_problem()
    return _head_of_problem(leaf.code, leaf.title, leaf.status)


def _head_of_problem(code: str, title: str, status: int) -> dict[str, Any]:
    detail = "What was expected, and what came."
    return {"type": TYPE_PREFIX + code, "title": title, "status": int(status), "detail": detail}


def _made(schema: Mapping[str, Any], schemas: Mapping[str, Any], key: str = "") -> Any:
    """A value as `schema`, that of `key`, has it."""
    if key in _VALUES:
        return _VALUES[key]
    if "$ref" in schema:
        return _made(schemas[schema["$ref"].removeprefix(_SCHEMA_REF)], schemas)
    choices = schema.get("anyOf") or schema.get("oneOf") or ()
    if NULL in choices or "null" in schema.get("type", ()):
        return None
    if choices:
        return _made(choices[0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if (properties := schema.get("properties")) is not None:
        return {name: _made(value, schemas, name) for name, value in properties.items()}
    return _SIMPLE.get(key) or _SIMPLE[schema["type"]]

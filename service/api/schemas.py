"""JSON Schemas of what callers send and get, made from the types that validate and render.

A new Kind appears by itself: as a command of a submission, and as a command of a view.
"""

from __future__ import annotations

from typing import Any, Final, Union

import msgspec

from service.api.meanings import meaning
from service.api.portable import portable
from service.api.problems import Problem
from service.jobs.rules import having, none_of
from service.jobs.spec import JobBody
from service.jobs.views import JobView, OutcomeView
from service.kinds import KINDS, Kind
from service.kinds.beyond_schema import RULES
from service.kinds.validation import DEFAULT_KIND

REF: Final = "#/components/schemas/{name}"
_SHOWN: Final[dict[str, Any]] = {"working_dir": str, "environment": list[str]}
# A job has either a command or a list of commands.
_ONE_OF_BOTH: Final = none_of(
    having(CommandLine={}, Commands={}),
    none_of(having(CommandLine={}), having(Commands={})),
)


def reference(of: type) -> dict[str, str]:
    """Where the schema of a type stands."""
    return {"$ref": REF.format(name=of.__name__)}


def schemas(*types: type) -> dict[str, Any]:
    """By name: those of `types`, the submission, the problem, and of all that they have."""
    asked: Any = Union[tuple(kind.spec for kind in KINDS.values())]  # noqa: UP007 - at run time
    shown: Any = Union[tuple(_view_of(kind) for kind in KINDS.values())]  # noqa: UP007 - the same
    wanted = (JobBody, JobView, Problem, *types)
    (of_asked, of_shown, *_), components = msgspec.json.schema_components(
        (asked, shown, *wanted), ref_template=REF
    )
    components[KINDS[DEFAULT_KIND].spec.__name__]["required"].remove("Kind")
    # Each Kind has a tag of its own, so that no value is of two. A discriminator is for a key that
    # is always there, which the Kind of a submitted command isn't.
    components["Command"] = {"oneOf": of_asked["anyOf"]}
    components["CommandView"] = {
        "oneOf": of_shown["anyOf"],
        "discriminator": of_shown["discriminator"],
    }
    body = components["JobBody"]
    body["properties"]["Commands"]["items"] = {"$ref": REF.format(name="Command")}
    view = components["JobView"]
    view["properties"]["Commands"]["items"] = {"$ref": REF.format(name="CommandView")}
    for name, schema in components.items():
        _describe(name, schema)
        is_sent = schema.get("additionalProperties") is not False  # by the service
        components[name] = portable(_as_sent(schema) if is_sent else schema)
    if (patch := components.get("JobPatch")) is not None:
        patch["properties"]["Commands"]["items"] = {"$ref": REF.format(name="Command")}
        patch.update(none_of(having(CommandLine={}, Commands={})))
    body = components["JobBody"]
    body["description"] += "\n\nBeyond this schema:" + "".join(f"\n- {r.meaning}" for r in RULES)
    # Rules between keys describe no type: they stay as they are.
    body.update(_ONE_OF_BOTH)
    for kind in KINDS.values():
        components[kind.spec.__name__].update(kind.rules)
    return dict(sorted(components.items()))


def _describe(name: str, schema: dict[str, Any]) -> None:
    """Put into each property of the schema what it means."""
    for key, value in schema.get("properties", {}).items():
        if (told := meaning(name, key)) is not None:
            value["description"] = told


def _as_sent(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a response: a key that has a default is always there, whatever its value."""
    required, properties = list(schema.get("required", ())), {}
    for name, value in schema.get("properties", {}).items():
        properties[name] = {key: held for key, held in value.items() if key != "default"}
        if "default" in value and name not in required:
            required.append(name)
    return {**schema, "properties": properties, "required": required} if properties else schema


def _view_of(kind: Kind) -> type[msgspec.Struct]:
    """All that the Kind has, as it is shown, and how the command stands."""
    fields = msgspec.structs.fields(kind.spec)
    told = msgspec.structs.fields(kind.told) if kind.told is not None else ()
    return msgspec.defstruct(
        f"{kind.spec.__name__}View",
        [
            *((field.name, _SHOWN.get(field.name, field.type)) for field in fields),
            *((field.name, field.type) for field in told),
        ],
        bases=(OutcomeView,),
        rename={field.name: field.encode_name for field in (*fields, *told)},
        kw_only=True,
        frozen=True,
        tag_field="Kind",
        tag=kind.name,
    )

"""Values that a JSON Schema asks for, and near misses of them, as Hypothesis draws them.

What is drawn keeps types and bounds, not the rules below `not`: whoever draws asks a validator what
a value is. Bounds themselves are drawn often.
"""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

from hypothesis import strategies as st
from jsonschema_rs import validator_for

Schema = dict[str, Any]

# Keys of an object that may be left out: more of them together are refused for several reasons.
_MOST_KEYS = 3
# What some pattern takes, or nearly.
TEXTS = (
    ["", "a", "a b", " ", "\0", "a\0", "a=b", "=b", "A", "A=", "a\n", "a\nb", "\x1c", "\u0085"]
    + ["\u2028", "\ufeff", "\x7f", "é", "é" * 300, "x" * 256, "x" * 257, "x" * 4095, "x" * 4096]
    + ["..", ".", "a/..", "../a", "/a/../b", "a/..b", "a..", "~", "~/x", "./~", "/", "/tmp", "//"]
    + ["-", "-c", "-ec", "bash", "sh", "fish", "none", "host", "bridge", "1", "0", "a'", 'a "b"']
    + [
        "busybox",
        "busybox:1",
        "h.example:5000/a/b:1",
        "a/b__c",
        "A/b",
        "a_",
        "a@sha256:" + "0" * 64,
    ]
    + ["a@b", "h:5000", "[::1]:80", "localhost", "a.b", "-a", "1.2_3-x", "x" * 129, "#", "# a"]
    + [
        "/a:/b",
        "/a:/b:ro",
        "/a:/b:rw",
        "/a:/b:",
        "/a:/b:x",
        "/a:b",
        "a:/b",
        "/a",
        "/a:/",
        "/a:/b:ro:",
    ]
    + ["/a/..:/b", "/a:/b/..", "/a\n:/b", "/usr/share:/b", "/usr/share:/b\u2028", "/tmp:/..b"]
    + ["all", "running", "running,exited", "exited,", "timeout", "timeout,lost", "90s", "10m", "0s"]
    + ["1769860800", "1769860800.5", "1.", "2026-01-31T12:00:00Z", "2026-02-30T12:00:00Z"]
    + [
        "2026-01-31T12:00:00.123456789+01:00",
        "2026-01-31t12:00:00z",
        "2026-01-31",
        "bjE",
        "czE",
        "zzE",
    ]
    + [
        "czE6MQ",
        "YzE6MQ",
        "bjE_",
        "true",
        "false",
        "nonzero",
        "TERM",
        "KILL",
        "stdout",
        "1e3",
        "1_0",
    ]
)
# Strange values: for an item, a member or a whole.
_ODD: Any = [
    None,
    True,
    False,
    0,
    -1,
    1,
    0.5,
    65536.0,
    1e16,
    2**63,
    1e300,
    [],
    [[]],
    {},
    {"": ""},
] + [{"a b": "c"}, {"a": "b\n"}, {"a": 1}, ["bash"], ["sh", "-ec"], ["fish", "-c"], [""]]


def odd() -> st.SearchStrategy[Any]:
    """Any of them, never the same object twice."""
    return st.sampled_from([*_ODD, *TEXTS]).map(copy.deepcopy)


def values(schema: Schema, components: Schema) -> st.SearchStrategy[Any]:
    """Values of the schema; `components` are those of the OpenAPI document."""
    if "$ref" in schema:
        return values(_resolved(schema["$ref"], components), components)
    for alternatives in ("oneOf", "anyOf"):
        if alternatives in schema:
            return st.one_of(*(values(one, components) for one in schema[alternatives]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of(*(_OF_TYPE[kind](schema, components) for kind in kinds))


def _resolved(reference: str, components: Schema) -> Schema:
    found: Any = {"components": components}
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


@cache
def _fitting(pattern: str, least: int, most: int) -> st.SearchStrategy[str]:
    """Texts that the pattern takes: to make them of the pattern takes a hundred times as long."""
    schema = {"type": "string", "pattern": pattern, "minLength": least, "maxLength": most}
    is_one = validator_for(schema).is_valid
    found = [text for text in TEXTS if is_one(text)]
    return st.sampled_from(found or TEXTS)


def _strings(schema: Schema, _components: Schema) -> st.SearchStrategy[Any]:
    if pattern := schema.get("pattern"):
        return _fitting(pattern, schema.get("minLength", 0), schema.get("maxLength", 10_000))
    least, most = schema.get("minLength", 0), schema.get("maxLength", 8)
    characters = st.characters(exclude_categories=["Cs"])
    edges = st.sampled_from(["a" * least, "a" * most])
    return st.one_of(edges, st.text(characters, min_size=least, max_size=min(most, 4)))


def _numbers(schema: Schema, _components: Schema) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63)
    barred = schema.get("not", {}).get("exclusiveMaximum", least)
    edges = [edge for edge in (least, barred, barred + 1, most - 1, most) if least <= edge <= most]
    whole = st.sampled_from([*edges, *map(math.ceil, edges), *map(float, edges)])
    return whole if "integer" in schema["type"] else st.one_of(whole, st.floats(least, most))


def _arrays(schema: Schema, components: Schema) -> st.SearchStrategy[Any]:
    least = schema.get("minItems", 0)
    return st.lists(values(schema["items"], components), min_size=least, max_size=least + 2)


def _objects(schema: Schema, components: Schema) -> st.SearchStrategy[Any]:
    properties = {
        name: values(value, components) for name, value in schema.get("properties", {}).items()
    }
    if not properties:
        names = _strings({"type": "string", **schema.get("propertyNames", {})}, components)
        members = values(schema.get("additionalProperties", {"type": "string"}), components)
        return st.dictionaries(names, members, max_size=2)
    required = schema.get("required", [])
    others = sorted(properties.keys() - set(required))

    several = st.lists(st.sampled_from(others or [""]), unique=True, max_size=_MOST_KEYS)
    chosen = several if others else st.just([])

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        more = draw(chosen)
        return {name: draw(properties[name]) for name in [*required, *more]}

    return drawn()


_OF_TYPE = {
    "string": _strings,
    "integer": _numbers,
    "number": _numbers,
    "array": _arrays,
    "object": _objects,
    "boolean": lambda *_: st.booleans(),
    "null": lambda *_: st.none(),
}


@st.composite
def near(draw: st.DrawFn, drawn: st.SearchStrategy[Any]) -> Any:
    """A value that is `drawn`, with one to three changes: a member that is another, or gone, or
    new, or an array with one item too many."""
    value = copy.deepcopy(draw(drawn))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_containers(value))
        if not places:
            return draw(odd())
        place = draw(st.sampled_from(places))
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        what = draw(st.sampled_from(["replace", "remove", "add"])) if keys else "add"
        if what == "replace":
            place[draw(st.sampled_from(keys))] = draw(odd())
        elif what == "remove":
            del place[draw(st.sampled_from(keys))]
        elif isinstance(place, dict):
            place[draw(st.sampled_from(["CommandLine", "Kind", "Timeout", "x", ""]))] = draw(odd())
        else:
            place.append(draw(odd()))
    return value


def _containers(value: Any) -> list[Any]:
    """`value` and all in it that have members."""
    if isinstance(value, dict):
        return [value, *(found for each in value.values() for found in _containers(each))]
    if isinstance(value, list):
        return [value, *(found for each in value for found in _containers(each))]
    return []

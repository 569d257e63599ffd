"""JSON Schemas in the forms that generators of clients take, with the same meaning.

What msgspec makes of a type is exact, and some of it no generator reads: tuples (`prefixItems`),
a value or null (`anyOf`), an `enum` without a type. A `default` makes generators for TypeScript
take a key for one that is always there, and integers without a format become 32 bits wide in Go
and Java.
"""

from __future__ import annotations

import json
from typing import Any, Final

Schema = dict[str, Any]

NULL: Final[Schema] = {"type": "null"}
# Keywords with an object that is no schema.
_NO_SCHEMAS: Final = frozenset({"default", "const", "discriminator"})
_FORMATS: Final = {"integer": "int64", "number": "double"}


def portable(schema: Schema) -> Schema:
    """`schema`, and all schemas in it, in portable forms. Raises: ValueError, if there is none."""
    found = {key: _inner(key, value) for key, value in schema.items()}
    for step in (_one_line, _typed, _of_one_type, _nullable, _with_default_told):
        found = step(found)
    return found


def _inner(key: str, value: Any) -> Any:
    """The value of a keyword, whose schemas are portable."""
    if key == "properties":
        return {name: portable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [portable(each) if isinstance(each, dict) else each for each in value]
    if isinstance(value, dict) and key not in _NO_SCHEMAS:
        return portable(value)
    return value


def _one_line(schema: Schema) -> Schema:
    """Docstrings are wrapped; a description has a line for each paragraph."""
    if isinstance(text := schema.get("description"), str):
        paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
        schema["description"] = "\n\n".join(paragraphs)
    return schema


def _typed(schema: Schema) -> Schema:
    kind = schema.get("type")
    if kind is None and all(isinstance(value, str) for value in schema.get("enum", [0])):
        schema = {"type": "string", **schema}
    if kind in _FORMATS and "enum" not in schema:
        schema.setdefault("format", _FORMATS[kind])
    if schema.get("required") == []:
        del schema["required"]
    return schema


def _of_one_type(schema: Schema) -> Schema:
    """A tuple is an array of one type, and of a fixed length."""
    if not isinstance(items := schema.get("prefixItems"), list):
        return schema
    if schema["items"] is not False or any(item != items[0] for item in items):
        raise ValueError(f"a tuple of several types has no portable form: {schema}")
    rest = {key: value for key, value in schema.items() if key != "prefixItems"}
    return {**rest, "items": items[0]}


def _nullable(schema: Schema) -> Schema:
    """A value or null: of a simple type it is one of two types, of an object one of two schemas."""
    choices = schema.get("anyOf", [])
    others = [choice for choice in choices if choice != NULL]
    if len(others) != 1 or len(choices) != 2:
        return schema
    (value,) = others
    if not isinstance(kind := value.get("type"), str) or kind == "object":
        return schema
    rest = {key: held for key, held in schema.items() if key != "anyOf"}
    found = {**value, **rest, "type": [kind, "null"]}
    if "enum" in value:
        found["enum"] = [*value["enum"], None]
    return found


def _with_default_told(schema: Schema) -> Schema:
    """The default of each property stands in its description."""
    properties = schema.get("properties", {})
    for name, value in properties.items():
        if "default" in value:
            default = value.pop("default")
            told = "" if default is None else f"Default: `{json.dumps(default)}`."
            text = " ".join(part for part in (value.get("description"), told) if part)
            if text:
                properties[name] = {**value, "description": text}
    return schema

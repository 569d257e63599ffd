"""Schemas in the forms that generators take: the same values fit."""

import pytest
from jsonschema_rs import validator_for

from service.api.portable import portable

NULLABLE = {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}], "default": None}
VALUES = [None, 0, 3, 4.5, "a", "b", [], [1, 2], [1, 2, 3], ["a", "b"], {}, {"A": 3}, {"A": None}]


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        (NULLABLE, {"type": ["integer", "null"], "minimum": 3, "format": "int64"}),
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        (
            {"anyOf": [{"enum": ["a"]}, {"type": "null"}]},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"type": "array", "minItems": 2, "maxItems": 2, "items": False,
             "prefixItems": [{"type": "integer"}, {"type": "integer"}]},
            {"type": "array", "minItems": 2, "maxItems": 2,
             "items": {"type": "integer", "format": "int64"}},
        ),
        (
            {"anyOf": [{"type": "object", "required": ["A"]}, {"type": "null"}]},
            {"anyOf": [{"type": "object", "required": ["A"]}, {"type": "null"}]},
        ),
        (
            {"type": "object", "required": [], "properties": {"A": NULLABLE}},
            {"type": "object", "properties":
             {"A": {"type": ["integer", "null"], "minimum": 3, "format": "int64"}}},
        ),
        (
            {"type": "object", "properties": {"type": {"type": "string", "default": "x"}}},
            {"type": "object", "properties":
             {"type": {"type": "string", "description": 'Default: `"x"`.'}}},
        ),
        ({"description": "One\n    line.\n\nAnother."}, {"description": "One line.\n\nAnother."}),
    ],
)  # fmt: skip
def test_each_form_takes_the_same_values(schema, form):
    found = portable(schema)
    assert {k: v for k, v in found.items() if k != "default"} == form
    before, after = validator_for(schema), validator_for(found)
    assert [before.is_valid(value) for value in VALUES] == [after.is_valid(v) for v in VALUES]


def test_a_tuple_of_several_types_is_refused():
    with pytest.raises(ValueError, match="no portable form"):
        portable({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False})

"""Types of the fields of a job, with their bounds and their JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

# Ten years in seconds: beyond any job, and far below what overflows a timer.
MAX_SECONDS: Final = 315_360_000
# Long enough for a sentence, short enough for a table's column.
MAX_NAME_CHARS: Final = 256
MAX_LABELS: Final = 64
# Seconds between TERM and KILL when a job doesn't say.
DEFAULT_GRACE_S: Final = 10.0
# Bytes of a path, its NUL included: the kernel takes no longer one. Source: PATH_MAX, limits.h.
MAX_PATH_BYTES: Final = 4096
# Bounds one record: the outcomes of all commands are rewritten at each step.
MAX_COMMANDS: Final = 1000

# Bytes: one full pipe, below which head and tail would be no more than a few lines.
MIN_OUTPUT_LIMIT: Final = 64 << 10

# In JSON Schema, what `service.jobs.checks` checks beyond the types: it stands in the description
# of the API, and is never used to validate. Patterns are ECMA's.
_TEXT: Final = "^[^\\u0000]*$"
_VARIABLE: Final = "^[^=\\u0000]+$"


def also(**schema: Any) -> msgspec.Meta:
    """What the description of the API says of a type, and a check enforces."""
    return msgspec.Meta(extra_json_schema=schema)


def zero_or_at_least(low: float) -> msgspec.Meta:
    """As `also`: a number that is 0 (none), or no less than `low`."""
    between = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": low}
    return also(**{"not": between})


Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS), also(pattern=_TEXT)]
# Blank is what Python takes for it: some separators more than ECMA does.
CommandLine = Annotated[
    str, also(pattern="^[^\\u0000]*[^\\s\\u0000\\u001c-\\u001f\\u0085][^\\u0000]*$")
]
WorkingDir = Annotated[
    str,
    also(pattern="^(?!~)(?!([^\\u0000]*/)?\\.\\.(/|$))[^\\u0000]+$", maxLength=MAX_PATH_BYTES - 1),
]
Text = Annotated[str, also(pattern=_TEXT)]
Environment = Annotated[dict[str, Text], also(propertyNames={"pattern": _VARIABLE})]
Labels = Annotated[
    dict[str, Annotated[str, also(pattern=_TEXT, maxLength=MAX_NAME_CHARS)]],
    also(
        maxProperties=MAX_LABELS,
        propertyNames={"pattern": _VARIABLE, "maxLength": MAX_NAME_CHARS},
    ),
]
# As a merge patch has them: null removes one.
EnvironmentPatch = Annotated[dict[str, Text | None], also(propertyNames={"pattern": _VARIABLE})]
LabelsPatch = Annotated[
    dict[str, Annotated[str, also(pattern=_TEXT, maxLength=MAX_NAME_CHARS)] | None],
    also(
        maxProperties=MAX_LABELS,
        propertyNames={"pattern": _VARIABLE, "maxLength": MAX_NAME_CHARS},
    ),
]
OutputLimit = Annotated[Bytes, zero_or_at_least(MIN_OUTPUT_LIMIT)]
Commands = Annotated[list[dict[str, Any]], also(minItems=1, maxItems=MAX_COMMANDS)]
Priority = Annotated[int, msgspec.Meta(ge=-100, le=100)]

"""What a caller asks for: frozen specs, validated once at the edge and trusted ever after.

The names on the wire are PascalCase. What types can't say is checked by `places_in_job` and
`places_in_command`, which answer with every wrong place instead of raising at the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec

from service.errors import FieldError, quoted

# Ten years in seconds: beyond any job, and far below what overflows a timer.
MAX_SECONDS: Final = 315_360_000
# Long enough for a sentence, short enough for a table's column.
MAX_NAME_CHARS: Final = 256
MAX_LABELS: Final = 64
# Of a key that is named as a wrong place: all of a name that is only a little too long.
_MAX_STEP_CHARS: Final = 2 * MAX_NAME_CHARS
# Seconds between TERM and KILL when a job doesn't say.
DEFAULT_GRACE_S: Final = 10.0
# Bytes of a path, its NUL included: the kernel takes no longer one. Source: PATH_MAX, limits.h.
MAX_PATH_BYTES: Final = 4096
# Bounds one record: the outcomes of all commands are rewritten at each step.
MAX_COMMANDS: Final = 1000

# Bytes: one full pipe, below which head and tail would be no more than a few lines.
MIN_OUTPUT_LIMIT: Final = 64 << 10

# In JSON Schema, what the functions below check beyond the types: it stands in the description of
# the API, and is never used to validate. Patterns are ECMA's.
_TEXT: Final = "^[^\\u0000]*$"
_VARIABLE: Final = "^[^=\\u0000]+$"


def also(**schema: Any) -> msgspec.Meta:
    """What the description of the API says of a type, and `places` checks."""
    return msgspec.Meta(extra_json_schema=schema)


Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS), also(pattern=_TEXT)]
# Blank is what Python takes for it: some separators more than ECMA does.
CommandLine = Annotated[
    str, also(pattern="^[^\\u0000]*[^\\s\\u0000\\u001c-\\u001f\\u0085][^\\u0000]*$")
]
WorkingDir = Annotated[
    str, also(pattern="^(?!([^\\u0000]*/)?\\.\\.(/|$))[^\\u0000]+$", maxLength=MAX_PATH_BYTES - 1)
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
OutputLimit = Annotated[Bytes, also(anyOf=[{"const": 0}, {"minimum": MIN_OUTPUT_LIMIT}])]
Commands = Annotated[list[dict[str, Any]], also(minItems=1, maxItems=MAX_COMMANDS)]
Priority = Annotated[int, msgspec.Meta(ge=-100, le=100)]


class CommandSpec(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """What every Kind of command has. `working_dir` is relative to the job's."""

    working_dir: WorkingDir | None = None
    environment: Environment = {}
    continue_on_failure: bool = False


# Below it no shell starts, and the job could tell nobody why.
LOWEST_LIMITS: Final = {
    "memory": (4 << 20, "bytes"),
    "cpus": (0.01, "processors"),
    "pids": (1, "processes"),
    "open_files": (16, "descriptors"),
    "file_size": (512, "bytes"),
}


def _or_none(name: str) -> msgspec.Meta:
    return also(anyOf=[{"const": 0}, {"minimum": LOWEST_LIMITS[name][0]}])


class Limits(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """What a job may use: bytes of memory, processors, processes; and each process of it: open
    descriptors, bytes of a file. None, or 0: as much as the service allows.
    """

    memory: Annotated[int, msgspec.Meta(ge=0, le=2**60), _or_none("memory")] | None = None
    cpus: Annotated[float, msgspec.Meta(ge=0, le=100_000), _or_none("cpus")] | None = msgspec.field(
        default=None, name="CPUs"
    )
    pids: Annotated[int, msgspec.Meta(ge=0, le=2**22), _or_none("pids")] | None = msgspec.field(
        default=None, name="PIDs"
    )
    open_files: Annotated[int, msgspec.Meta(ge=0, le=2**30), _or_none("open_files")] | None = None
    file_size: Annotated[int, msgspec.Meta(ge=0, le=2**60), _or_none("file_size")] | None = None

    def within(self, ceilings: Limits) -> Limits:
        """What holds: the lower one of each; None where there is none."""
        both = {
            name: [most for limits in (self, ceilings) if (most := getattr(limits, name))]
            for name in self.__struct_fields__
        }
        return Limits(**{name: min(mosts, default=None) for name, mosts in both.items()})


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One validated job. A timeout of 0 means none, a higher `priority` comes first; `working_dir`
    None: the job's own directory; `output_limit` 0: that of the service.
    """

    commands: tuple[CommandSpec, ...]
    environment: dict[str, str] = {}
    working_dir: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    timeout_s: float = 0.0
    idle_timeout_s: float = 0.0
    queue_timeout_s: float = 0.0
    priority: int = 0
    grace_s: float = DEFAULT_GRACE_S
    output_limit: int = 0
    limits: Limits = Limits()


class JobBody(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """The body of a submission, before its commands are handed to their Kinds."""

    command_line: CommandLine | msgspec.UnsetType = msgspec.UNSET
    commands: Commands | msgspec.UnsetType = msgspec.UNSET
    environment: Environment = {}
    working_dir: WorkingDir | None = None
    name: Name | None = None
    labels: Labels = {}
    timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    priority: Priority | None = None
    grace: Seconds | None = None
    output_limit: OutputLimit | None = None
    limits: Limits | None = None


def places_in_job(body: JobBody) -> Iterator[FieldError]:
    """Every place of `body` that is wrong beyond its types."""
    given = [
        key
        for key, value in (("CommandLine", body.command_line), ("Commands", body.commands))
        if value is not msgspec.UNSET
    ]
    if len(given) != 1:
        got = "both" if given else "neither"
        yield FieldError("", f"expected exactly one of CommandLine and Commands, got {got}")
    if isinstance(body.commands, list) and not body.commands:
        yield FieldError("/Commands", "expected at least one command, got an empty list")
    yield from places_in_environment(body.environment, "/Environment")
    yield from places_in_working_dir(body.working_dir, "/WorkingDir")
    if body.name is not None:
        yield from places_in_text(body.name, "/Name")
    if body.output_limit is not None and 0 < body.output_limit < MIN_OUTPUT_LIMIT:
        yield FieldError(
            "/OutputLimit",
            f"expected 0 or at least {MIN_OUTPUT_LIMIT} bytes, got {body.output_limit}",
        )
    for key, value in body.labels.items():
        pointer = f"/Labels/{escape(key)}"
        if not key or "=" in key:
            yield FieldError(
                pointer, f"expected a label name that isn't empty and has no '=', got {quoted(key)}"
            )
        for what, text in (("name", key), ("value", value)):
            yield from places_in_text(text, pointer)
            if len(text) > MAX_NAME_CHARS:
                yield FieldError(
                    pointer,
                    f"expected a {what} of at most {MAX_NAME_CHARS} characters, got {len(text)}",
                )


def places_in_limits(limits: Limits, ceilings: Limits) -> Iterator[FieldError]:
    """Each limit that is too low for any job, or above what the service allows."""
    wire_names = dict(zip(limits.__struct_fields__, limits.__struct_encode_fields__, strict=True))
    for name, (lowest, unit) in LOWEST_LIMITS.items():
        asked, ceiling = getattr(limits, name) or 0, getattr(ceilings, name)
        pointer = f"/Limits/{wire_names[name]}"
        if 0 < asked < lowest:
            yield FieldError(pointer, f"expected 0 or at least {lowest} {unit}, got {asked}")
        if ceiling and asked > ceiling:
            expected = f"expected at most {ceiling} {unit}, this service's own limit"
            yield FieldError(pointer, f"{expected}, got {asked}")


def places_in_command(spec: CommandSpec, pointer: str) -> Iterator[FieldError]:
    """Every place of what all Kinds share that is wrong beyond its types."""
    yield from places_in_environment(spec.environment, f"{pointer}/Environment")
    yield from places_in_working_dir(spec.working_dir, f"{pointer}/WorkingDir")


def places_in_environment(environment: Mapping[str, str], pointer: str) -> Iterator[FieldError]:
    """Every variable that execve(2) couldn't hand on."""
    names, values = "".join(environment), "".join(environment.values())
    if not ("" in environment or "=" in names or "\0" in names or "\0" in values):
        return  # most often: one look at all of them instead of one at each
    for key, value in environment.items():
        place = f"{pointer}/{escape(key)}"
        if not key:
            yield FieldError(place, "expected a variable's name, got an empty one")
        if "=" in key:
            yield FieldError(place, f"expected a variable's name without '=', got {quoted(key)}")
        yield from places_in_text(key, place)
        yield from places_in_text(value, place)


def places_in_working_dir(path: str | None, pointer: str) -> Iterator[FieldError]:
    """What is wrong with a working directory, whose `..` would lead out of the job's own."""
    if path is None:
        return
    if not path:
        yield FieldError(pointer, "expected a path, got an empty string")
    if len(path) >= MAX_PATH_BYTES:
        expected = f"expected a path of less than {MAX_PATH_BYTES} bytes"
        yield FieldError(pointer, f"{expected}, got {len(path)} characters")
    elif ".." in path.split("/"):
        yield FieldError(pointer, f"expected a path without '..', got {quoted(path)}")
    yield from places_in_text(path, pointer)


def places_in_text(text: str, pointer: str) -> Iterator[FieldError]:
    """A NUL ends a C string: an argument, a variable or a path with one would be cut silently."""
    if "\0" in text:
        yield FieldError(
            pointer, f"expected text without NUL, got one at character {text.index(chr(0))}"
        )


def escape(key: str) -> str:
    """`key` as one step of a JSON pointer, cut when it is long. Source: RFC 6901, section 3."""
    if len(key) > _MAX_STEP_CHARS:
        key = f"{key[:_MAX_STEP_CHARS]}…"
    return key.replace("~", "~0").replace("/", "~1")

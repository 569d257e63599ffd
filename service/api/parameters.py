"""What a route takes beside its body: a dataclass, of which each field declares one parameter.

The declaration parses the parameter and describes it in OpenAPI. An undeclared query parameter is
refused, as an unknown key of a body is: a typo would otherwise be taken for the default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec

from service.api.forms import Form, Unfit
from service.errors import BadHeader, BadQuery
from service.jobs.fields import MAX_LABELS

_MAX_QUERY_FIELDS: Final = 100
# What the description says of a repeated parameter: labels of a job.
_MAX_REPEATED: Final = MAX_LABELS
# Characters of a wrong value that an error repeats.
_MAX_QUOTED: Final = 80
_DECLARED: Final = "parameter"

T = TypeVar("T")
P = TypeVar("P")


class Where(StrEnum):
    """Where a parameter stands in a request, in the words of OpenAPI."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


class Parameter(msgspec.Struct, frozen=True):
    """A declared parameter. `default` None: it has none; `is_repeated`: it may come several times,
    and its value is a tuple; `is_joined`: a header that is a list, whose lines make one; `is_rest`:
    all that is left of a path, slashes among it; `is_required`: a request without it is refused.
    """

    name: str
    form: Form[Any]
    meaning: str
    where: Where
    default: Any = None
    is_repeated: bool = False
    is_joined: bool = False
    is_rest: bool = False
    is_required: bool = False

    def schema(self) -> dict[str, Any]:
        """The JSON Schema, as a form of OpenAPI has it."""
        if self.is_repeated:
            return {"type": "array", "items": self.form.schema, "maxItems": _MAX_REPEATED}
        if self.default is None:
            return dict(self.form.schema)
        return {**self.form.schema, "default": self.form.write(self.default)}


def query(form: Form[T], meaning: str, *, default: T, name: str = "") -> T:
    """Declare a query parameter that may be given once; `name` if it isn't that of the field."""
    declared = Parameter(name, form, meaning, Where.QUERY, default)
    return dataclasses.field(default=default, metadata={_DECLARED: declared})


def optional(form: Form[T], meaning: str, *, name: str = "") -> T | None:
    """Declare a query parameter that is None when it isn't given."""
    return query(cast("Form[T | None]", form), meaning, default=None, name=name)


def required(form: Form[T], meaning: str, *, name: str = "") -> T:
    """Declare a query parameter without which nothing is meant."""
    declared = Parameter(name, form, meaning, Where.QUERY, is_required=True)
    return cast("T", dataclasses.field(metadata={_DECLARED: declared}))


def repeated(form: Form[T], meaning: str, *, name: str = "") -> tuple[T, ...]:
    """Declare a query parameter that may be given several times."""
    declared = Parameter(name, form, meaning, Where.QUERY, is_repeated=True)
    return cast("tuple[T, ...]", dataclasses.field(default=(), metadata={_DECLARED: declared}))


def header(form: Form[T], meaning: str, *, name: str, is_joined: bool = False) -> T | None:
    """Declare a header that is None when it isn't sent. It may be sent once, or with `is_joined`
    in several lines, which mean one with commas between them. Source: RFC 9110, section 5.3.
    """
    declared = Parameter(name, form, meaning, Where.HEADER, is_joined=is_joined)
    return cast("T | None", dataclasses.field(default=None, metadata={_DECLARED: declared}))


def path(form: Form[str], meaning: str, *, name: str, is_rest: bool = False) -> str:
    """Declare a segment of the path: `{name}` there, or with `is_rest` all that is left of it. It
    comes as the router found it.
    """
    declared = Parameter(name, form, meaning, Where.PATH, is_rest=is_rest, is_required=True)
    return cast("str", dataclasses.field(metadata={_DECLARED: declared}))


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Of a route that takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfJob:
    """Of a route about one job."""

    job_id: str = path(
        Form(str, "an ID", {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}),
        "The job's ID.",
        name="ID",
    )


def parameters(of: type) -> dict[str, Parameter]:
    """The parameters that the dataclass `of` declares, by field."""
    return {
        field.name: msgspec.structs.replace(declared, name=declared.name or field.name)
        for field in dataclasses.fields(of)
        for declared in (field.metadata[_DECLARED],)
    }


class Parser(Generic[P]):
    """Makes a value of the dataclass `of` from a request. `any_query`: a query parameter that isn't
    declared is ignored.
    """

    def __init__(self, of: type[P], *, any_query: bool = False) -> None:
        declared = parameters(of)
        self._of = of
        self._any_query = any_query
        self._query = {p.name: (f, p) for f, p in declared.items() if p.where is Where.QUERY}
        self._headers = [(f, p) for f, p in declared.items() if p.where is Where.HEADER]
        self._path = {p.name: f for f, p in declared.items() if p.where is Where.PATH}
        self._required = [(f, p) for f, p in self._query.values() if p.is_required]

    def parse(self, path: Mapping[str, str], query_string: str, headers: Any) -> P:
        """`headers` has `getall`, as Sanic's. Raises: BadQuery, BadHeader."""
        values: dict[str, Any] = {self._path[name]: text for name, text in path.items()}
        if query_string and not (self._any_query and not self._query):
            self._parse_query(query_string, values)
        for field, parameter in self._required:
            if field not in values:
                raise BadQuery(
                    f"The query parameter {parameter.name!r} is missing; expected"
                    f" {parameter.form.expected}."
                )
        for field, parameter in self._headers:
            if texts := headers.getall(parameter.name, ()):
                values[field] = _parse_header(parameter, texts)
        return self._of(**values)

    def _parse_query(self, query_string: str, values: dict[str, Any]) -> None:
        for name, texts in self._texts(query_string).items():
            field, parameter = self._query[name]
            if parameter.is_repeated:
                values[field] = tuple(_parse(parameter, text) for text in texts)
            elif len(texts) > 1:
                raise BadQuery(
                    f"The query parameter {name!r} was given {len(texts)} times, expected one."
                )
            else:
                values[field] = _parse(parameter, texts[0])

    def _texts(self, query_string: str) -> dict[str, list[str]]:
        try:
            pairs = parse_qsl(
                query_string,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_QUERY_FIELDS,
            )
        except ValueError as exc:
            raise BadQuery(f"The query string can't be read: {exc}.") from exc
        texts: dict[str, list[str]] = {}
        for name, text in pairs:
            if name in self._query:
                texts.setdefault(name, []).append(text)
            elif not self._any_query:
                expected = ", ".join(sorted(self._query)) or "none"
                raise BadQuery(
                    f"Unknown query parameter {name[:_MAX_QUOTED]!r}; expected: {expected}."
                )
        return texts


def _parse(parameter: Parameter, text: str) -> Any:
    try:
        return parameter.form.parse(text)
    except Unfit as exc:
        raise BadQuery(
            f"The query parameter {parameter.name!r}: expected {parameter.form.expected},"
            f" got {exc.got[:_MAX_QUOTED]!r}."
        ) from exc


def _parse_header(parameter: Parameter, texts: list[str]) -> Any:
    if parameter.is_joined:
        texts = [", ".join(texts)]
    try:
        if len(texts) > 1:
            raise Unfit(texts[0])
        return parameter.form.parse(texts[0])
    except Unfit as exc:
        raise BadHeader(
            f"{parameter.name}: expected one of {parameter.form.expected},"
            f" got {len(texts)} of {len(texts[0])} characters."
        ) from exc

"""The parameters that select jobs, for all routes that take more than one job at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from service.api import forms
from service.api.forms import Form, Unfit
from service.api.moments import MOMENT, Moment
from service.api.parameters import optional, repeated
from service.errors import BadQuery
from service.jobs.fields import MAX_NAME_CHARS
from service.jobs.states import FINISHED, JOB_STATES, LIVE, Reason, State
from service.store import Selection

ANY: Final = "*"
NONZERO: Final = "nonzero"
# What the kernel, a container or Slurm gives as the exit code of a command fits.
_MAX_EXIT_CODE: Final = 2**31 - 1
_ID_PATTERN: Final = "[0-9a-fA-F-]{1,36}"
_ID: Final = re.compile(_ID_PATTERN)
_STATES: Final = {state.value: state for state in JOB_STATES}
_REASONS: Final = {reason.value: reason for reason in Reason}


class Name(msgspec.Struct, frozen=True):
    """A name, or with `is_prefix` the beginning of names."""

    text: str
    is_prefix: bool = False


class Exit(msgspec.Struct, frozen=True):
    """An exit code; None: any but 0, or none at all."""

    code: int | None


def _states(text: str) -> frozenset[State]:
    if text == "all":
        return frozenset(JOB_STATES)
    words = text.split(",")
    for word in words:
        if word not in _STATES:
            raise Unfit(word)
    return frozenset(_STATES[word] for word in words)


def _name(text: str) -> Name:
    if not text or len(text) > MAX_NAME_CHARS + 1:
        raise Unfit(text)
    if text.endswith("\\*"):
        return Name(f"{text[:-2]}*")
    return Name(text[:-1], is_prefix=True) if text.endswith(ANY) else Name(text)


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise Unfit(text)
    return text.lower()


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Unfit(text)
    return key, value


def _exit(text: str) -> Exit:
    if text == NONZERO:
        return Exit(None)
    return Exit(_EXIT_CODE.parse(text))


def _reasons(text: str) -> frozenset[Reason]:
    words = text.split(",")
    for word in words:
        if word not in _REASONS:
            raise Unfit(word)
    return frozenset(_REASONS[word] for word in words)


def _listed(words: object) -> str:
    """The pattern of one or more of these, separated by commas."""
    one = f"({'|'.join(words)})"  # type: ignore[arg-type]
    return f"{one}(,{one})*"


_EXIT_CODE: Final = forms.integer(0, _MAX_EXIT_CODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectors:
    """All that is given must hold."""

    state: frozenset[State] | None = optional(
        Form(
            _states,
            f"all, or any of {', '.join(_STATES)}, separated by commas",
            {"type": "string", "pattern": f"^(all|{_listed(_STATES)})$"},
        ),
        "States, separated by commas, or `all`.",
    )
    name: Name | None = optional(
        Form(
            _name,
            f"a name of 1 to {MAX_NAME_CHARS} characters, or its beginning and '*'",
            {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS + 1},
        ),
        "Jobs of this name; `nightly*`: of all names that begin so, `*`: of any, `a\\*`: of `a*`.",
    )
    id: str | None = optional(
        Form(
            _id,
            "an ID or its beginning",
            {"type": "string", "pattern": f"^{_ID_PATTERN}$"},
        ),
        "The job of this ID, or those whose ID begins so.",
    )
    label: tuple[tuple[str, str], ...] = repeated(
        Form(_label, "'name=value'", {"type": "string", "pattern": "^[^=]+="}),
        "`name=value`: jobs with this label. Repeated: with all of them.",
    )
    since: Moment | None = optional(
        MOMENT,
        "Jobs submitted at that time or later: RFC 3339, seconds since 1970, or a duration back"
        " (`90s`, `10m`, `2h`, `7d`).",
    )
    until: Moment | None = optional(MOMENT, "Jobs submitted before that time, written as `since`.")
    exit: Exit | None = optional(
        Form(
            _exit,
            f"a whole number from 0 to {_MAX_EXIT_CODE}, or '{NONZERO}'",
            {
                "anyOf": [
                    {"type": "integer", "minimum": 0, "maximum": _MAX_EXIT_CODE},
                    {"type": "string", "const": NONZERO},
                ]
            },
        ),
        "Finished jobs with this exit code; `nonzero`: all that didn't exit with 0, those that a"
        " signal ended or that couldn't start among them.",
    )
    reason: frozenset[Reason] | None = optional(
        Form(
            _reasons,
            f"any of {', '.join(_REASONS)}, separated by commas",
            {"type": "string", "pattern": f"^{_listed(_REASONS)}$"},
        ),
        "Killed jobs with one of these reasons, separated by commas.",
    )

    def selection(self, now: int, *, only: frozenset[State] | None = None) -> Selection:
        """The jobs that are asked for at `now`, nanoseconds since 1970. `only`: the states that the
        route can do something with, and their default; None: all of them, and by default the live
        ones, or the finished ones when only those have what is asked for.

        Raises: BadQuery, for parameters that contradict each other.
        """
        self._check_states(only)
        since = None if self.since is None else self.since.at(now)
        until = None if self.until is None else self.until.at(now)
        if since is not None and until is not None and since > until:
            raise _contradiction("since", "until", "since is later than until")
        name = self.name or Name("", is_prefix=True)
        return Selection(
            states=self._states(only),
            name=None if name.is_prefix else name.text,
            id_prefix=self.id,
            name_prefix=name.text if self.name is not None and name.is_prefix else None,
            labels=self.label,
            since=since,
            until=until,
            exit_code=self.exit.code if self.exit is not None else None,
            has_failed=self.exit is not None and self.exit.code is None,
            reasons=self.reason,
        )

    def check_some_given(self) -> None:
        """Raises: BadQuery, when every job would be selected without a word about it."""
        is_any_name = self.name == Name("", is_prefix=True)
        given = (self.state, None if is_any_name else self.name, self.id, self.label or None)
        if all(value is None for value in (*given, self.since, self.until, self.exit, self.reason)):
            raise BadQuery(
                "Expected at least one of the query parameters state, name, id, label, since,"
                f" until, exit, reason{' beside name=*' if is_any_name else ''}; got none."
                " `state=all` selects every job."
            )

    def _states(self, only: frozenset[State] | None) -> frozenset[State]:
        if only is not None:
            return only if self.state is None else self.state & only
        if self.state is not None:
            return self.state
        return LIVE if self.exit is None and self.reason is None else FINISHED

    def _check_states(self, only: frozenset[State] | None) -> None:
        named = frozenset() if self.state in (None, frozenset(JOB_STATES)) else self.state
        if only is not None and (beyond := named - only):
            raise BadQuery(
                f"The query parameter 'state': expected all, or any of {', '.join(sorted(only))},"
                f" got {min(beyond).value!r}: this does nothing to such jobs."
            )
        for name, given, having in (
            ("exit", self.exit, FINISHED),
            ("reason", self.reason, frozenset({State.KILLED})),
        ):
            if given is None:
                continue
            if only is not None and not only & having:
                raise BadQuery(
                    f"The query parameter {name!r} selects finished jobs; this takes live ones."
                )
            if self.state is not None and not self.state & having:
                what = f"only {' or '.join(sorted(having))} jobs have it"
                raise _contradiction(name, "state", what)


def _contradiction(one: str, other: str, why: str) -> BadQuery:
    return BadQuery(f"The query parameters {one!r} and {other!r} contradict each other: {why}.")

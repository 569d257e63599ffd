"""Checks of specs beyond the types of their fields: each yields all errors, not only the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.errors import FieldError, pointer_step, quoted
from service.jobs.fields import MAX_COMMANDS, MAX_LABELS, MAX_NAME_CHARS, MAX_PATH_BYTES
from service.jobs.given_files import MAX_FILES, errors_in_files
from service.jobs.spec import CommandSpec, JobBody
from service.jobs.terminal import errors_in_terminal


def errors_in_size(raw: Mapping[str, Any]) -> Iterator[FieldError]:
    """Lists of the undecoded body that are too long to be looked into."""
    for key, most in (("Commands", MAX_COMMANDS), ("Labels", MAX_LABELS), ("Files", MAX_FILES)):
        if isinstance(held := raw.get(key), (list, dict)) and len(held) > most:
            yield FieldError(f"/{key}", f"expected at most {most} {key.lower()}, got {len(held)}")


def errors_in_job(body: JobBody) -> Iterator[FieldError]:
    """What is wrong with `body` beyond the types of its fields."""
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
    yield from errors_in_environment(body.environment, "/Environment")
    yield from errors_in_working_dir(body.working_dir, "/WorkingDir")
    yield from errors_in_files(body.files)
    if body.name is not None:
        yield from errors_in_text(body.name, "/Name")
    yield from errors_in_terminal(body.tty)
    for key, value in body.labels.items():
        pointer = f"/Labels/{pointer_step(key)}"
        if not key or "=" in key:
            yield FieldError(
                pointer, f"expected a label name that isn't empty and has no '=', got {quoted(key)}"
            )
        for what, text in (("name", key), ("value", value)):
            yield from errors_in_text(text, pointer)
            if len(text) > MAX_NAME_CHARS:
                yield FieldError(
                    pointer,
                    f"expected a {what} of at most {MAX_NAME_CHARS} characters, got {len(text)}",
                )


def errors_in_command(spec: CommandSpec, pointer: str) -> Iterator[FieldError]:
    """What is wrong with the fields that all Kinds share, beyond their types."""
    yield from errors_in_environment(spec.environment, f"{pointer}/Environment")
    yield from errors_in_working_dir(spec.working_dir, f"{pointer}/WorkingDir")


def errors_in_environment(environment: Mapping[str, str], pointer: str) -> Iterator[FieldError]:
    """Variables that execve(2) can't pass on."""
    names, values = "".join(environment), "".join(environment.values())
    if not ("" in environment or "=" in names or "\0" in names or "\0" in values):
        return  # most often: one check of all of them instead of one of each
    for key, value in environment.items():
        place = f"{pointer}/{pointer_step(key)}"
        if not key:
            yield FieldError(place, "expected a variable's name, got an empty one")
        if "=" in key:
            yield FieldError(place, f"expected a variable's name without '=', got {quoted(key)}")
        yield from errors_in_text(key, place)
        yield from errors_in_text(value, place)


def errors_in_working_dir(path: str | None, pointer: str) -> Iterator[FieldError]:
    """What is wrong with a working directory; `..` could lead out of the job's own, and `~` is what
    a shell expands, and nobody here.
    """
    if path is None:
        return
    if not path:
        yield FieldError(pointer, "expected a path, got an empty string")
    if len(path) >= MAX_PATH_BYTES:
        expected = f"expected a path of less than {MAX_PATH_BYTES} bytes"
        yield FieldError(pointer, f"{expected}, got {len(path)} characters")
    elif path.startswith("~"):
        hint = f"an absolute path, or './{path[:40]}' in the job's own directory"
        yield FieldError(pointer, f"expected a path without '~', got {quoted(path)}: give {hint}")
    elif ".." in path.split("/"):
        yield FieldError(pointer, f"expected a path without '..', got {quoted(path)}")
    yield from errors_in_text(path, pointer)


def errors_in_text(text: str, pointer: str) -> Iterator[FieldError]:
    """A NUL ends a C string: it would silently truncate an argument, a variable or a path."""
    if "\0" in text:
        yield FieldError(
            pointer, f"expected text without NUL, got one at character {text.index(chr(0))}"
        )

"""Checks beyond the types: every error is told, none twice."""

import msgspec
import pytest

from service.errors import pointer_step
from service.jobs.checks import errors_in_job
from service.jobs.fields import MAX_NAME_CHARS
from service.jobs.spec import JobBody


def errors(**body):
    return [(e.pointer, e.detail) for e in errors_in_job(msgspec.convert(body, JobBody))]


def pointers(**body):
    return [pointer for pointer, _ in errors(**body)]


def test_a_sound_body_has_no_error():
    assert errors(CommandLine="true", Environment={"A": "b"}, WorkingDir="a/b", Name="n") == []


@pytest.mark.parametrize(
    ("body", "got"), [({}, "neither"), ({"CommandLine": "x", "Commands": [{}]}, "both")]
)
def test_exactly_one_of_command_line_and_commands(body, got):
    assert errors(**body) == [("", f"expected exactly one of CommandLine and Commands, got {got}")]


def test_there_is_at_least_one_command():
    assert pointers(Commands=[]) == ["/Commands"]
    assert pointers(Commands=[{}]) == []


@pytest.mark.parametrize(
    ("key", "value", "pointer"),
    [
        ("", "v", "/Environment/"),
        ("A=B", "v", "/Environment/A=B"),
        ("A\0", "v", "/Environment/A\0"),
        ("A", "v\0", "/Environment/A"),
        ("A/B~", "\0", "/Environment/A~1B~0"),
    ],
)
def test_what_execve_could_not_hand_on_is_told(key, value, pointer):
    assert pointers(CommandLine="x", Environment={key: value}) == [pointer]


@pytest.mark.parametrize(
    "path", ["", "..", "a/../b", "../a", "a/..", "/a/../b", "a\0b", "~", "~/x", "~me"]
)
def test_a_working_directory_that_leads_out_or_nowhere_is_told(path):
    assert set(pointers(CommandLine="x", WorkingDir=path)) == {"/WorkingDir"}


def test_a_home_directory_is_refused_with_a_hint():
    ((_, detail),) = errors(CommandLine="x", WorkingDir="~/x")
    assert detail == (
        "expected a path without '~', got '~/x': give an absolute path, or './~/x' in the job's own"
        " directory"
    )


@pytest.mark.parametrize("path", ["a", "a/b", "/tmp", ".", "...", "a..b", "..a", "./~", "a~"])
def test_a_working_directory_that_only_looks_like_one_is_taken(path):
    assert pointers(CommandLine="x", WorkingDir=path) == []


def test_labels_can_be_asked_for():
    assert pointers(CommandLine="x", Labels={"a=b": "c"}) == ["/Labels/a=b"]
    assert pointers(CommandLine="x", Labels={"": "c"}) == ["/Labels/"]
    long = "x" * (MAX_NAME_CHARS + 1)
    assert pointers(CommandLine="x", Labels={"a": long}) == ["/Labels/a"]
    assert pointers(CommandLine="x", Labels={long: "a"}) == [f"/Labels/{long}"]
    assert pointers(CommandLine="x", Labels={"a": "b=c"}) == []


def test_every_error_is_told_at_once():
    told = pointers(Commands=[], WorkingDir="..", Name="a\0", Environment={"": "", "B=": ""})
    assert told == ["/Commands", "/Environment/", "/Environment/B=", "/WorkingDir", "/Name"]


def test_a_step_of_a_pointer_is_escaped_once():
    assert pointer_step("~1/~0") == "~01~1~00"

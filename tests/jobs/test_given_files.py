"""Files of a submission: which paths and contents they may have."""

from __future__ import annotations

import pytest

from service.files.names import wrong_in_path
from service.jobs.given_files import MAX_FILES_BYTES, GivenFile, errors_in_files

pytestmark = pytest.mark.once

A = GivenFile(text="a")


def errors(files):
    return [(e.pointer, e.detail) for e in errors_in_files(files)]


@pytest.mark.parametrize("path", ["a", "a/b", ".a", "..a", "a b\n/ä", "a" * 255])
def test_a_path_in_the_directory_is_good(path):
    assert not errors({path: A})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "got an empty one"),
        ("/a", "absolute"),
        ("a/../b", "'..'"),
        ("..", "'..'"),
        ("./a", "'.'"),
        ("a//b", "empty names"),
        ("a/", "empty names"),
        ("a\0b", "NUL"),
        ("a" * 256, "one of 256"),
        ("a/" * 2048, "got 4096"),
        ("a\udcff", "UTF-8"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path, words):
    ((pointer, detail),) = errors({path: A})
    assert pointer.startswith("/Files/")
    assert detail.startswith("expected")
    assert words in detail


def test_any_bytes_may_be_a_name():
    assert wrong_in_path(b"a\xff/\n") is None


def test_a_file_is_no_directory_of_another():
    ((pointer, detail),) = errors({"a": A, "a/b": A, "ab": A})
    assert (pointer, "'a'" in detail) == ("/Files/a~1b", True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (GivenFile(), "neither"),
        (GivenFile(text="", base64=""), "both"),
        (GivenFile(base64="a"), "base64"),
        (GivenFile(base64="ab==\n"), "base64"),
    ],
)
def test_a_file_has_one_content(given, words):
    ((_, detail),) = errors({"a": given})
    assert words in detail


def test_contents_are_bounded_in_all():
    half = GivenFile(text="x" * (MAX_FILES_BYTES // 2))
    assert not errors({"a": half, "b": half})
    ((pointer, detail),) = errors({"a": half, "b": half, "c": A})
    assert (pointer, "held job" in detail) == ("/Files", True)


def test_contents_and_modes_are_what_was_given():
    assert (GivenFile(text="ä").data, A.mode_bits) == ("ä".encode(), 0o644)
    given = GivenFile(base64="AP8=", mode="755")
    assert (given.data, given.mode_bits) == (b"\0\xff", 0o755)

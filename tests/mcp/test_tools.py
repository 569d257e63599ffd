from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from service.mcp.answers import shortened
from service.mcp.keys import bytes_of
from service.mcp.tools import TOOLS, schema_of

pytestmark = pytest.mark.once

LEAST = {
    "run": {"command": "true"},
    "read": {"job": "x"},
    "wait": {"jobs": ["x"]},
    "send": {"job": "x", "text": "y"},
    "files": {"job": "x"},
    "kill": {"job": "x"},
    "list": {},
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_declares_objects_for_what_it_takes_and_answers(name):
    tool = TOOLS[name]
    msgspec.convert(LEAST[name], tool.takes)
    for schema in (schema_of(tool.takes), schema_of(tool.answers)):
        assert schema["type"] == "object"
    assert schema_of(tool.takes)["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read", {"job": "x", "tail": 1, "offset": 0}, "one of tail and offset"),
        ("read", {"job": "x", "tail": 1, "grep": "a"}, "one of tail and grep"),
        ("read", {"job": "x", "offset": 5, "end": 4}, "an end behind the offset"),
        ("read", {"job": "x", "context": 2}, "Expected grep"),
        ("read", {"job": "x", "max_bytes": 499}, "max_bytes"),
        ("run", {"command": "true", "wait_s": 46}, "wait_s"),
        ("run", {"comand": "true"}, "comand"),
        ("wait", {"jobs": []}, "jobs"),
        ("files", {"job": "x", "write": "", "path": "/"}, "path"),
        ("files", {"job": "x", "write": "", "path": "a", "remove": True}, "one of write"),
        ("send", {"job": "x"}, "text, key or eof"),
        ("send", {"job": "x", "text": "a", "key": "Enter"}, "one of text and key"),
        ("send", {"job": "x", "key": "C-"}, "key"),
        ("send", {"job": "x", "key": "Enter\n"}, "key"),
    ],
)
def test_what_a_tool_does_not_take_is_refused_by_name(name, arguments, said):
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(arguments, TOOLS[name].takes)


def test_only_what_kills_or_runs_is_said_to_change_anything():
    assert {name for name, tool in TOOLS.items() if tool.is_read_only} == {"read", "wait", "list"}
    assert {name for name, tool in TOOLS.items() if tool.is_destructive} == {
        "run",
        "send",
        "kill",
        "files",
    }
    assert not TOOLS["run"].is_idempotent


@pytest.mark.parametrize(
    ("key", "sent"),
    [("C-c", b"\x03"), ("C-z", b"\x1a"), ("C-\\", b"\x1c"), ("Enter", b"\r"), ("Up", b"\x1b[A")],
)
def test_a_key_is_what_a_terminal_sends(key, sent):
    assert msgspec.convert({"job": "x", "key": key}, TOOLS["send"].takes).key == key
    assert bytes_of(key) == sent


def test_sentences_of_others_are_one_bounded_line():
    assert (
        shortened("a\nb\u202e") == "a\\nb\\u202e" or shortened("a\nb\u202e") == "a\\u000ab\\u202e"
    )
    assert len(shortened("x" * 10_000)) == 500


@pytest.mark.parametrize("arguments", [["--help"], ["mcp", "--help"], ["run", "--help"]])
def test_no_other_command_pays_for_it(arguments):
    shown = (
        "import sys\nfrom service.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "service.cli.group" in loaded
    heavy = {"mcp", "mcp_types", "pydantic", "uvicorn", "starlette", "service.mcp", "anyio"}
    assert sorted(loaded & heavy) == []


def test_without_the_package_one_line_says_how_to_install_it():
    program = (
        "import sys; sys.modules['mcp_types'] = None\n"
        "from service.cli import main; sys.exit(main(['mcp']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == (
        "jobrunner: This needs the package mcp, version 2.3 or later:"
        " pip install 'jobrunner[mcp]'.\n"
    )

"""What `jobrunner ps` costs before it asks: the modules that it loads, and none that it doesn't need."""

from __future__ import annotations

import pytest
from loaded_modules import printed_by

from service.cli.commands import JOBS

pytestmark = pytest.mark.once

# Each of these, and what it stands on, takes a good part of the time that the command has.
NOT_LOADED = {
    "asyncio", "uvloop", "concurrent.futures", "multiprocessing",
    "sanic", "transitions", "structlog", "sqlite3", "prometheus_client", "re2",
    "rich", "pygments", "httpx._main", "h2", "anyio", "trio", "argparse", "difflib",
    "service.settings", "service.operations", "service.cli.operator", "service.cli.serve",
    "service.jobs.lifecycle", "service.host.locks", "service.host.procfs", "service.client.async_client",
}  # fmt: skip
CALL = """
import sys
from service.cli import main
status = main(["--url", "http://127.0.0.1:9", "--connect-timeout", "0", {verb!r}, *{rest!r}])
assert status == 125, status
print("\\n".join(sys.modules))
"""
REST = {
    "run": ["true"],
    "send": ["@last", "x"],
    "cp": ["@last:f", "-"],
    "ps": [],
    "events": [],
    "kill": ["--all"],
    "clean": ["--all", "--yes"],
}


@pytest.mark.parametrize("verb", sorted({"ps", *JOBS}))
def test_a_command_loads_what_it_uses(verb):
    program = CALL.format(verb=verb, rest=REST.get(verb, ["@last"]))
    loaded = set(printed_by(program).split())
    assert "httpx" in loaded
    assert sorted(NOT_LOADED & loaded) == []
    others = {f"service.cli.verbs.{name}" for name in JOBS if name != verb}
    assert sorted(others & loaded) == []

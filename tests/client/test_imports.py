"""What a program pays for the client: the modules that are loaded, and nothing that it doesn't need."""

from __future__ import annotations

from pathlib import Path

import pytest
from loaded_modules import printed_by

import service.client

pytestmark = pytest.mark.once

WHEEL = Path(__file__).parents[2] / "service" / "client" / "wheel"

# Each of these, and what it stands on, would take a program longer than its first request does.
SERVER = (
    "sanic",
    "transitions",
    "structlog",
    "sqlite3",
    "service.settings",
    "service.jobs.lifecycle",
)
EVENT_LOOP = ("asyncio", "uvloop", "concurrent.futures")
OPTIONAL = ("rich", "click", "pygments", "httpx._main", "h2", "anyio", "trio")
HTTP = ("httpx", "httpcore", "ssl", "http.client", "msgspec")

LEAN = "from service.client.lean import load_httpx; load_httpx()"
CLIENT = "import jobrunner; client = jobrunner.Client('http://127.0.0.1:9', timeout=0)"
USED = """
try:
    client.job("x").show()
except jobrunner.ServiceUnreachable:
    pass
client.close()
"""


def loaded_by(program: str) -> set[str]:
    """The modules that a fresh interpreter has after `program`."""
    # The package that the wheel has at its top level, as it is here.
    first = f"import sys; sys.path.insert(0, {str(WHEEL)!r})"
    shown = f"{first}\n{program}\nprint('\\n'.join(sys.modules))"
    return set(printed_by(shown).split())


@pytest.mark.parametrize(
    ("program", "not_loaded"),
    [
        ("import jobrunner", (*SERVER, *EVENT_LOOP, *OPTIONAL, *HTTP)),
        ("import jobrunner; jobrunner.UnknownJob", (*SERVER, *EVENT_LOOP, *OPTIONAL, *HTTP)),
        ("import service.client.address", (*SERVER, *EVENT_LOOP, *OPTIONAL, *HTTP)),
        (f"{CLIENT}{USED}", (*SERVER, *EVENT_LOOP[1:])),
        (f"{LEAN}\n{CLIENT}{USED}", (*SERVER, *EVENT_LOOP, *OPTIONAL)),
    ],
    ids=["nothing", "an error", "the address", "a client", "a lean client"],
)
def test_a_program_loads_what_it_uses(program, not_loaded):
    assert sorted(loaded_by(program) & set(not_loaded)) == []


def test_without_the_optional_modules_httpx_is_whole_for_a_client():
    program = f"{LEAN}\nimport httpx; assert 'h2' not in sys.modules; import httpx._main, h2, anyio"
    assert {"httpx._main", "h2"} <= loaded_by(program)


def test_every_public_name_is_there_and_listed():
    for name in service.client.__all__:
        assert getattr(service.client, name).__name__ in {name, "KillView"}
    assert set(service.client.__all__) <= set(dir(service.client))
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        _ = service.client.Clint


def test_all_names_can_be_imported_at_once():
    names = loaded_by("from jobrunner import *\nClient, AsyncClient, UnknownJob, JobView")
    assert "service.client.async_client" in names

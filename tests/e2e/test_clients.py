"""What others make of the description of the API: linters, and clients that are generated from it.

The clients submit, attach and kill; what they get is read by what was generated.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import documents
import msgspec
import pytest
from node_modules import CLIENTS, IS_CI, installed, ran
from running import Service

from service.api.description import document
from service.api.routes import ROUTES

PROGRAMS = Path(sys.executable).parent
RECIPE = (
    (documents.ROOT / "deploy" / "HOWTO.md").read_text().partition("\n## Generate a client\n")[2]
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="session")
def modules() -> Path:
    return installed()


@pytest.fixture
def tools(modules: Path) -> Path:
    return modules / ".bin"


@pytest.fixture
def described(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document(ROUTES))))
    return path


@pytest.fixture
def commands(service: Service) -> list[str]:
    """Those of the recipe, for this service."""
    found = re.findall(r"```sh\n(.*?)```", RECIPE, re.DOTALL)
    return [text.replace("localhost:8080", f"127.0.0.1:{service.port}") for text in found[:2]]


def test_redocly_finds_nothing(tools: Path, described: Path) -> None:
    ran(
        tools / "redocly", "lint", described, "--extends=recommended", "--max-problems=20",
        directory=described.parent, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true",
    )  # fmt: skip


def test_spectral_finds_nothing(tools: Path, described: Path) -> None:
    ruleset = f"--ruleset={CLIENTS / 'spectral.yaml'}"
    ran(
        tools / "spectral", "lint", ruleset, "--fail-severity=hint", described,
        directory=described.parent,
    )  # fmt: skip


def test_a_client_for_typescript_submits_attaches_and_kills(
    service: Service, modules: Path, tools: Path, commands: list[str], tmp_path: Path
) -> None:
    fetch, generate = commands[0].splitlines()[0], commands[1].replace("npx ", f"{tools}/")
    ran("bash", "-euc", f"{fetch}\n{generate}", directory=tmp_path)
    for name in ("use.ts", "tsconfig.json"):
        shutil.copy(CLIENTS / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(modules)
    ran(tools / "tsc", directory=tmp_path)
    said = json.loads(ran("node", "out/use.js", service.url, directory=tmp_path))
    assert "CommandLine" in said.pop("refused")
    assert said == {
        "first": "hello\n",
        "killed": "killed",
        "codes": [3, 0],
        "bytes": 2,
        "listed": True,
    }


USE = """\
import json, sys
from jobrunner_client import Client
from jobrunner_client.api.jobs import clean, kill, list_, show, submit, wait
from jobrunner_client.api.output import attach
from jobrunner_client.models import BashCommand, JobBody, JobView, KillSignal, Problem

client = Client(base_url=sys.argv[1])
submitted = submit.sync(client=client, body=JobBody(command_line="trap 'echo end; exit 5' INT; echo hello; sleep 600 & wait"))
with client.get_httpx_client().stream("GET", f"/{submitted.id}/attach") as output:
    first = next(output.iter_lines())
    killed = kill.sync(submitted.id, client=client, signal=KillSignal.INT, wait=True)
view = show.sync(submitted.id, client=client)
assert isinstance(view, JobView), view
commands = [BashCommand(command_line="exit 3", continue_on_failure=True), BashCommand(command_line="echo b")]
other = submit.sync(client=client, body=JobBody(commands=commands, name="both"), idempotency_key="k")
seen = wait.sync(other.id, client=client, timeout=60)
whole = attach.sync_detailed(other.id, client=client)
listed = list_.sync(client=client, state="all", name="both")
refused = submit.sync(client=client, body=JobBody(command_line=""))
assert isinstance(refused, Problem), refused
print(json.dumps({
    "first": first, "killed": killed.state, "found": view.kill.found > 0, "gone": view.kill.verified_gone,
    "codes": [command.exit_code for command in seen.commands], "output": whole.content.decode(),
    "listed": [str(i) for i in listed.i_ds] == [str(other.id)], "pointer": refused.errors[0].pointer,
    "cleaned": str(clean.sync(other.id, client=client).id) == str(other.id),
}))
"""


def test_a_client_for_python_submits_attaches_and_kills(
    service: Service, commands: list[str], tmp_path: Path
) -> None:
    if not (PROGRAMS / "openapi-python-client").exists() and not IS_CI:
        pytest.skip("openapi-python-client is installed in one environment only")
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"  # noqa: TID251 - a person's shell has it
    ran("bash", "-euc", commands[0], directory=tmp_path, PATH=path)
    (tmp_path / "use.py").write_text(USE)
    said = json.loads(
        ran(sys.executable, "use.py", service.url, directory=tmp_path, PYTHONPATH=".")
    )
    assert said == {
        "first": "hello",
        "killed": "killed",
        "found": True,
        "gone": True,
        "codes": [3, 0],
        "output": "b\n",
        "listed": True,
        "pointer": "/CommandLine",
        "cleaned": True,
    }

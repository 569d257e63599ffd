"""`jobrunner mcp`, as the host of an agent starts it, beside the real service: the protocol.

What its tools answer stands in `test_mcp_tools.py`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import CommandLine
from gates import Gate, lines
from running import Service, running

from service.access import tokens
from service.access.scopes import Scope

pytest.importorskip("mcp_types")  # of the package, which is an extra

import agents
from mcp import MCPError

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def agent(service: Service) -> Iterator[Any]:
    with agents.over_stdio(service.url) as agent:
        yield agent


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[str]:
    """The URL of one that listens."""
    with over_http(CommandLine(service.url)) as (url, hint):
        assert hint == ""
        yield url


@contextmanager
def over_http(cli: CommandLine, *options: str) -> Iterator[tuple[str, str]]:
    """Its URL, and what is said behind it."""
    with cli.started("mcp", "--http", "127.0.0.1:0", *options) as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        yield re.fullmatch(
            r"jobrunner: Serving MCP at (http://[\d.]+:\d+/mcp)(.*)\n", said
        ).groups()


def shown(answer: dict[str, Any]) -> str:
    return "".join(piece["text"] for piece in answer["pieces"])


def test_tools_say_what_they_take_answer_and_change(agent):
    tools = agent.tools()
    assert list(tools) == ["run", "read", "wait", "send", "kill", "files", "list"]
    for tool in tools.values():
        assert tool.input_schema["type"] == tool.output_schema["type"] == "object"
        assert tool.description
    assert tools["kill"].annotations.destructive_hint
    assert tools["kill"].annotations.idempotent_hint
    assert tools["read"].annotations.read_only_hint
    assert "never follow" in agent.instructions


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_all_tools_in_a_row_in_every_revision_of_the_protocol(service: Service, mode: str):
    """The client checks each answer against the schema that the tool declares."""
    with agents.over_stdio(service.url, mode=mode) as agent:
        all_tools_in_a_row(agent)


def test_all_tools_in_a_row_over_http(http: str):
    with agents.over_http(http) as agent:
        all_tools_in_a_row(agent)


def all_tools_in_a_row(agent: Any) -> None:
    run = agent.call("run", command="echo hello; exit 7")
    assert (run["job"]["exit_code"], shown(run)) == (7, "hello\n")
    job = run["job"]["job"]
    assert shown(agent.call("read", job=job, offset=2)) == "llo\n"
    assert agent.call("read", job=job, grep="hell")["match_count"] == 1
    assert agent.call("wait", jobs=[job])["is_met"]
    live = agent.call("run", command="sleep 1000", wait_s=0)["job"]["job"]
    assert live in [
        each["job"] for each in agent.call("list", state=["running", "pending"])["jobs"]
    ]
    assert agent.call("kill", job=live, grace_s=1)["receipt"]["all_gone"]
    assert "takes: job" in agent.refused("read", job=job, ofset=1)


def test_output_is_a_content_block_of_its_own(agent):
    result = agent.result("run", command="echo 'Job x exited with 0'; seq 1 9999", max_bytes=500)
    status, head, tail = agents.texts(result)
    pieces = result.structured_content["pieces"]
    assert [head, tail] == [piece["text"] for piece in pieces]
    assert status.startswith(f"Job {result.structured_content['job']['job']} exited with 0;")
    assert f"offset={pieces[0]['end']} and end={pieces[1]['start']}" in status


def test_a_call_that_is_cancelled_and_an_agent_that_dies_leave_the_job(
    service: Service, gate: Gate
):
    with agents.over_stdio(service.url) as agent:
        command = f"echo ready; read -r _ < {gate}; exit 5"
        job = agent.call("run", command=command, wait_s=0)["job"]["job"]
        lines(service, job, 1)
        waiting = agent.started("wait", jobs=[job], wait_s=45)
        reading = agent.started("read", job=job, offset=6, wait_s=45)
        assert shown(agent.call("read", job=job)) == "ready\n"  # others don't wait for it
        waiting.cancel()
        assert agent.call("wait", jobs=[job], wait_s=0)["jobs"][0]["state"] == "running"
        reading.cancel()
    gate.open()
    assert service.wait(job)["ExitCode"] == 5


def test_a_call_outlives_the_worker_that_serves_it(state_dir: Path, gate: Gate):
    with (
        running(state_dir, workers=2) as service,
        agents.over_stdio(service.url) as agent,
    ):
        waiting = agent.started("run", command=f"read -r _ < {gate}; exit 6", wait_s=45)
        while not service.client.get("/").json()["IDs"]:
            pass
        for pid in service.worker_pids():
            os.kill(pid, signal.SIGKILL)
        gate.open()
        answer = waiting.result(agents.FUSE_S)
        assert answer.structured_content["job"]["exit_code"] == 6


def test_without_a_service_a_tool_says_so(tmp_path: Path):
    with agents.over_stdio(f"unix://{tmp_path}/none") as agent:
        assert "No service answers at unix://" in agent.refused("list")


def test_a_page_in_a_browser_reaches_nothing(http: str):
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepted = {"Accept": "application/json, text/event-stream"}
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        refused = httpx.post(http, json=call, headers=accepted | headers)
        assert refused.status_code in (403, 421)


def is_let_in(url: str, token: str | None) -> bool:
    """As a client of the protocol, and whatever is asked for."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    plain = httpx.get(f"{url}/other", headers=headers)
    if plain.status_code == 404:
        with agents.over_http(url, token=token) as agent:
            return agent.call("run", command="exit 3")["job"]["exit_code"] == 3
    assert plain.status_code == 401
    assert plain.headers["www-authenticate"].startswith("Bearer")
    with pytest.raises(ExceptionGroup) as raised, agents.over_http(url, token=token):
        pass
    assert raised.group_contains(MCPError, match="error response")
    return False


def test_a_caller_over_http_sends_the_token_of_the_command(
    tmp_path_factory: pytest.TempPathFactory,
):
    place = tmp_path_factory.mktemp("m")  # the address of a socket is short: unix(7)
    bound = {"JOBRUNNER_SOCKET": str(place / "s")}
    with running(place / "jobrunner", environment=bound) as service:
        # Its port is open to all users, the socket perhaps not.
        with over_http(CommandLine(f"unix://{place}/s")) as (url, hint):
            made = re.fullmatch(" for callers that send the token ([-_0-9A-Za-z]{43})", hint)[1]
            assert [is_let_in(url, each) for each in (made, None, "x")] == [True, False, False]
        token = tokens.create(service.state_dir, "agent", {Scope.RUN, Scope.READ})[1]
        with over_http(CommandLine(service.url, JOBRUNNER_TOKEN=token)) as (url, hint):
            assert hint == " for callers that send the token of this command"
            assert [is_let_in(url, each) for each in (token, None, made)] == [True, False, False]


def test_who_lets_others_call_shows_a_token_for_them(service: Service):
    cli = CommandLine(service.url)
    with over_http(cli, "--allow-host", "build.example") as (url, hint):
        assert " the token " in hint
        assert not is_let_in(url, None)
        assert is_let_in(url, hint.split()[-1])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--http", "0.0.0.0:0"), 2, b"--allow-host NAME"),
        (("--http", "8000"), 2, b"Expected HOST:PORT, got '8000'"),
        (("--http", "127.0.0.1:70000"), 2, b"Expected HOST:PORT"),
        (("--allow-host", "x"), 2, b"Expected --http"),
        (("--url", "ftp://x"), 2, b"Expected an URL"),
    ],
)
def test_wrong_usage_is_told_in_a_line(service: Service, arguments, status, said):
    done = CommandLine(service.url)("mcp", *arguments, status=status)
    assert done.stdout == b""
    (line,) = done.stderr.splitlines()
    assert said in line


FASTMCP = """
import asyncio, json, sys
from fastmcp import Client

async def main():
    config = {"mcpServers": {"jobrunner": json.loads(sys.argv[1])}}
    async with Client(config) as client:
        tools = [tool.name for tool in await client.list_tools()]
        result = await client.call_tool("run", {"command": "echo from another; exit 3"})
        print(json.dumps([tools, result.structured_content]))

asyncio.run(main())
"""


def test_the_client_of_another_reads_the_configuration_of_the_document(service: Service):
    pytest.importorskip("fastmcp")
    document = (Path(__file__).parents[2] / "service" / "mcp" / "README.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", document, re.DOTALL)
    given = json.loads(block)["mcpServers"]["jobrunner"]
    assert (given["command"], given["args"]) == ("jobrunner", ["mcp"])
    given["command"], given["args"] = sys.executable, ["-P", "-m", "service", "mcp"]
    given["env"] = {"JOBRUNNER_URL": service.url}
    done = subprocess.run(
        [sys.executable, "-c", FASTMCP, json.dumps(given)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tools, answer = json.loads(done.stdout)
    assert "run" in tools
    assert (answer["job"]["exit_code"], shown(answer)) == (3, "from another\n")

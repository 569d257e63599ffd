"""An agent's side of the Model Context Protocol: the package's own client, for tests that block."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, Tool

# Seconds: a fuse, not a wait.
FUSE_S = 120


class Agent:
    """It calls tools. Its loop runs in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Client) -> None:
        self._loop = loop
        self._client = client

    def started(self, tool: str, **arguments: Any) -> Future[CallToolResult]:
        """A call; cancelled, it is cancelled as the protocol has it."""
        return asyncio.run_coroutine_threadsafe(self._client.call_tool(tool, arguments), self._loop)

    def result(self, tool: str, **arguments: Any) -> CallToolResult:
        return self.started(tool, **arguments).result(FUSE_S)

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured content."""
        result = self.result(tool, **arguments)
        assert not result.is_error, texts(result)
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    def refused(self, tool: str, **arguments: Any) -> str:
        """The sentence of a tool's error."""
        result = self.result(tool, **arguments)
        assert result.is_error, result.structured_content
        (sentence,) = texts(result)
        return sentence

    def tools(self) -> dict[str, Tool]:
        listed = asyncio.run_coroutine_threadsafe(self._client.list_tools(), self._loop)
        return {tool.name: tool for tool in listed.result(FUSE_S).tools}

    @property
    def instructions(self) -> str | None:
        return self._client.instructions


def texts(result: CallToolResult) -> list[str]:
    """Those of its content."""
    assert all(block.type == "text" for block in result.content)
    return [block.text for block in result.content if block.type == "text"]


@contextmanager
def over_stdio(url: str, *, mode: str = "auto", **variables: str) -> Iterator[Agent]:
    """With a `jobrunner mcp` of its own."""
    started = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "service", "mcp"],
        env={"JOBRUNNER_URL": url, **variables},
    )
    with _agent(lambda: stdio_client(started), mode) as agent:
        yield agent


@contextmanager
def over_http(url: str, *, token: str | None = None, mode: str = "auto") -> Iterator[Agent]:
    """With the one that listens there."""

    @asynccontextmanager
    async def transport() -> AsyncIterator[Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with (
            create_mcp_http_client(headers) as http,
            streamable_http_client(url, http_client=http) as streams,
        ):
            yield streams

    with _agent(transport, mode) as agent:
        yield agent


@contextmanager
def _agent(transport: Callable[[], AbstractAsyncContextManager[Any]], mode: str) -> Iterator[Agent]:
    ready: Future[Agent] = Future()
    leaving = threading.Event()

    @asynccontextmanager
    async def connected() -> AsyncIterator[Client]:
        async with Client(transport(), mode=mode) as client:
            yield client

    async def live() -> None:
        loop = asyncio.get_running_loop()
        async with connected() as client:
            ready.set_result(Agent(loop, client))
            await loop.run_in_executor(None, leaving.wait)

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ready.result(FUSE_S)
    finally:
        leaving.set()
        thread.join(FUSE_S)

"""The server of the protocol. What goes wrong with the service, or its jobs, is a tool's error."""

from __future__ import annotations

from typing import Any

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolDescription

import service
from service.client.async_client import AsyncClient
from service.mcp.answers import Answer
from service.mcp.calling import called
from service.mcp.failures import ToolFailed
from service.mcp.tools import INSTRUCTIONS, TOOLS, schema_of


def server_of(client: AsyncClient) -> Server[Any]:
    """A server that acts through `client`, with its token. It has no state of its own."""

    async def list_tools(
        context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        del context, params
        return ListToolsResult(tools=[_described(name) for name in TOOLS])

    async def call_tool(
        context: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        del context
        try:
            return _result(await called(client, params.name, params.arguments or {}))
        except ToolFailed as exc:
            return CallToolResult(content=[TextContent(type="text", text=str(exc))], is_error=True)

    return Server(
        "jobrunner",
        version=service.__version__,
        title="jobrunner",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _result(answer: Answer) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text) for text in answer.blocks()],
        structured_content=msgspec.to_builtins(answer),
    )


def _described(name: str) -> ToolDescription:
    tool = TOOLS[name]
    return ToolDescription(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema=schema_of(tool.takes),
        output_schema=schema_of(tool.answers),
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.is_read_only,
            destructive_hint=tool.is_destructive,
            idempotent_hint=tool.is_idempotent,
            open_world_hint=True,
        ),
    )

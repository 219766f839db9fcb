"""Refuses arguments that a tool does not have, and says what is wrong with the others, in our words."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, InputRequiredResult, Tool
from pydantic import ValidationError


class StrictServer(MCPServer[Any]):
    """A server that passes over no argument in silence: an assistant that misnames one would never know."""

    async def list_tools(self) -> list[Tool]:
        """Return the tools; their schemas say that they take nothing else."""
        tools = await super().list_tools()
        return [
            one.model_copy(update={"input_schema": {**one.input_schema, "additionalProperties": False}})
            for one in tools
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool.

        Raises:
            ToolError: `request-invalid`: an argument is unknown, missing or wrong; or as the tool itself.
        """
        tool = next((one for one in await super().list_tools() if one.name == name), None)
        known = [] if tool is None else list(tool.input_schema.get("properties", {}))
        unknown = [] if tool is None else [one for one in arguments if one not in known]
        if unknown:
            raise _refusal(name, f"{name} has no argument `{unknown[0][:80]}`. It takes {', '.join(known)}.")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as exc:
            if not isinstance(exc.__cause__, ValidationError):
                raise
            first = exc.__cause__.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise _refusal(name, f"`{where}` of {name}: {first['msg']}.") from exc.__cause__


def _refusal(tool: str, message: str) -> ToolError:
    return ToolError(f"Error executing tool {tool}: request-invalid: {message}")

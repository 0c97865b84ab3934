"""The session's own MCP server, as an agent in a sandbox is told of it; what it says is in `tools`."""

from __future__ import annotations

from pathlib import Path

from bot.domain import McpServer

NAME = "threadsmith"
SCRIPT_PATH = ".threadsmith/mcp.py"  # below the home of a sandbox
SCRIPT = Path(__file__).with_name("mcp_stdio.py").read_bytes()


def own_server(home: str) -> McpServer:
    """`SCRIPT` is to be at `SCRIPT_PATH` below that home."""
    return McpServer(name=NAME, command=("python3", "-E", "-s", f"{home}/{SCRIPT_PATH}"))

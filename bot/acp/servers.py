"""Tool servers (MCP) as an agent is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.domain import GATEWAY_URL, McpServer


def entries(
    servers: Sequence[McpServer], *, http: bool
) -> tuple[list[dict[str, Any]], tuple[McpServer, ...]]:
    """What goes to the agent, and what is left out because it speaks no HTTP to tool servers.

    A server elsewhere is always a path of the gateway, named with or without the gateway's own address: it
    adds the key, and nothing else leads out.
    """
    left_out = tuple(server for server in servers if server.url and not http)
    return [_entry(server) for server in servers if server not in left_out], left_out


def _entry(server: McpServer) -> dict[str, Any]:
    if server.url:
        path = server.url.removeprefix(GATEWAY_URL).lstrip("/")
        url = f"{GATEWAY_URL}/{path}"
        return {"type": "http", "name": server.name, "url": url, "headers": []}
    command, *args = server.command
    env = [{"name": name, "value": value} for name, value in server.env.items()]
    return {"name": server.name, "command": command, "args": args, "env": env}

"""The slash command's words that the core itself brings."""

from __future__ import annotations

from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import Person
from bot.hooks import Commands
from bot.slack.calls import UNREACHABLE
from bot.slack.text import code, escape, link
from storage import IndexFile

_SHOWN = 10
_SIGNS = {
    "running": ":hourglass_flowing_sand:",
    "queued": ":hourglass_flowing_sand:",
    "waiting": ":question:",
    "done": ":white_check_mark:",
    "failed": ":warning:",
    "stopped": ":octagonal_sign:",
}


def register_own_commands(commands: Commands, client: AsyncWebClient, index: IndexFile) -> None:
    """Add them to the registry, before the plugins add theirs."""

    @commands.add
    async def sessions(person: Person) -> str:
        """List the latest threads I worked in, in channels you are in."""
        joined = await _channels_of(client, person)
        rows = [row for row in await index.list(limit=200) if row["channel"] in joined][:_SHOWN]
        if not rows:
            return "No sessions yet. Mention me in a channel, and say what should change."
        return "\n".join([await _line(client, row) for row in rows])


async def _channels_of(client: AsyncWebClient, person: Person) -> set[str]:
    """A thread is shown only to those who could read it anyway."""
    found: set[str] = set()
    cursor = None
    while True:
        page = await client.users_conversations(
            user=person.id, types="public_channel,private_channel,im", limit=200, cursor=cursor
        )
        found |= {str(channel["id"]) for channel in page["channels"]}
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return found


async def _line(client: AsyncWebClient, row: dict[str, Any]) -> str:
    title = str(row["title"] or "Untitled")
    try:
        answer = await client.chat_getPermalink(channel=row["channel"], message_ts=row["thread_ts"])
        title = link(str(answer["permalink"]), title)
    except UNREACHABLE:
        title = escape(title)
    pull = row["pull_request"]
    parts = [f"{_SIGNS.get(row['state'], ':grey_question:')} {title}"]
    if row["repository"]:
        parts.append(code(row["repository"]))
    if pull:
        parts.append(link(pull["url"], f"#{pull['number']}"))
    return " · ".join(parts)

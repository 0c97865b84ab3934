"""Whether anything is still going on, here or in the bot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from bot.playground.slack.messages import Json
from bot.playground.slack.workspace import Workspace

CONFIRM_SECONDS = 0.1
LOOK_SECONDS = 0.05


class Idle:
    """Looks at the workspace, and at the bot's `/ready` where `bot_url()` says where that is."""

    def __init__(self, workspace: Workspace, bot_url: Callable[[], str | None]) -> None:
        self._workspace = workspace
        self._bot_url = bot_url
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the client session."""
        if self._session is not None:
            await self._session.close()

    async def wait(self, timeout: float) -> Json:  # noqa: ASYNC109  # part of the control API's answer, not a cancel
        """Return once two looks 100 ms apart found nothing, or with what still goes on after `timeout` s."""
        deadline = time.monotonic() + timeout
        while True:
            last = time.monotonic() >= deadline
            busy = await self._look(all_reasons=last)
            if not busy:
                await asyncio.sleep(CONFIRM_SECONDS)
                busy = await self._look(all_reasons=last)
            if not busy or last:
                return {"idle": not busy, **busy}
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, *, all_reasons: bool) -> Json:
        """Why it is not idle; empty if it is.

        The bot looks after its whole surroundings to answer, so it is asked only when all else is quiet or
        `all_reasons` are wanted: the calls it makes for that would fill `/control/requests`.
        """
        workspace = self._workspace
        facts: Json = {
            "undelivered": workspace.deliveries.pending(),
            "streams": [[m.channel, m.ts] for m in workspace.messages.streaming()],
            "processing": [list(thread) for thread in workspace.processing()],
        }
        if all_reasons or not any(facts.values()):
            facts["bot"] = await self._bot()
        return {name: fact for name, fact in facts.items() if fact}

    async def _bot(self) -> Json | str | None:
        """The bot's own work that is not zero, or why it could not be asked."""
        url = self._bot_url()
        if url is None:
            return None
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        try:
            async with self._session.get(f"{url.rstrip('/')}/ready") as response:
                if response.status != 200:
                    return f"/ready answered {response.status}"
                work = (await response.json()).get("work", {})
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError) as error:
            return f"/ready did not answer: {type(error).__name__}"
        return {name: work[name] for name in ("queued", "running", "effects") if work.get(name)}

"""Outside writes that must not happen twice: a durable intent first, and a look before any second try."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bot.domain import PromptId
from bot.errors import UserError
from storage import SessionFile


class Fenced(UserError):
    """This turn belongs to a newer boot now; nothing may be done outside in its name."""

    def __init__(self) -> None:
        super().__init__("A newer start of the bot has taken this over.")


class SessionEffects:
    """The `Effects` a plugin is handed, kept in the session's own file, for one turn of this boot."""

    def __init__(self, file: SessionFile, prompt: PromptId, epoch: int) -> None:
        self._file = file
        self._prompt = prompt
        self._epoch = epoch

    async def once(
        self,
        kind: str,
        key: str,
        *,
        intent: dict[str, Any],
        find: Callable[[], Awaitable[dict[str, Any] | None]],
        do: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """See `bot.hooks.Effects.once`. Whatever `do` raises passes through; the next call looks first.

        Raises Fenced.
        """
        row = await self._file.plan_of_turn(self._prompt, self._epoch, kind, key, intent)
        if row is None:
            raise Fenced
        if row["state"] == "done":
            done: dict[str, Any] = row["result"]
            return done
        found = await find() if row["state"] != "pending" else None
        # Also for what was found: it is done from `sending` on, wherever an earlier turn left it.
        if not await self._file.send_of_turn(self._prompt, self._epoch, row["id"]):
            raise Fenced
        result = await do() if found is None else found
        await self._file.effect_done(row["id"], result)
        return result

"""Outside writes that must not happen twice: a durable intent first, and a look before any second try."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from storage import SessionFile


class SessionEffects:
    """The `Effects` a plugin is handed, kept in the session's own file."""

    def __init__(self, file: SessionFile) -> None:
        self._file = file

    async def once(
        self,
        kind: str,
        key: str,
        *,
        intent: dict[str, Any],
        find: Callable[[], Awaitable[dict[str, Any] | None]],
        do: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """See `bot.hooks.Effects.once`. Whatever `do` raises passes through; the next call looks first."""
        row = await self._file.effect_plan(kind, key, intent)
        if row["state"] == "done":
            done: dict[str, Any] = row["result"]
            return done
        if row["state"] != "pending":
            found = await find()
            if found is not None:
                await self._file.effect_done(row["id"], found)
                return found
        await self._file.effect_sending(row["id"])
        result = await do()
        await self._file.effect_done(row["id"], result)
        return result

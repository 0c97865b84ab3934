"""What every session stands on, built once by `app.py`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bot.config import Settings
from bot.domain import AgentRecipe, Repository
from bot.gateway import Gateway
from bot.git import Mirrors
from bot.permissions import Permissions
from bot.plugins import Plugins
from bot.sessions.ports import Directory
from storage import DataFolder, IndexFile, SessionFile, SessionStore, StateFile, StorageError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class House:
    settings: Settings
    plugins: Plugins
    permissions: Permissions
    directory: Directory
    folder: DataFolder
    store: SessionStore
    state: StateFile
    index: IndexFile
    mirrors: Mirrors
    gateway: Gateway
    agents: Mapping[str, AgentRecipe]
    default_agent: str
    epoch: int
    now: Callable[[], float] = field(default=time.time)

    def repository(self, name: str) -> Repository | None:
        """The configured repository of that name."""
        return next((r for r in self.settings.repositories if r.name == name), None)

    async def note_in_index(self, file: SessionFile) -> None:
        """Bring the index up to date with a session. It is derived, so a failure is a line in the log."""
        try:
            await self.index.apply(await file.summary())
        except StorageError:
            log.exception(
                "session %s is not up to date in the index; `threadsmith reindex` mends it", file.name
            )

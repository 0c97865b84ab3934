"""What every session stands on, built once by `app.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bot.config import Settings
from bot.domain import AgentRecipe, Repository
from bot.git import Mirrors
from bot.permissions import Permissions
from bot.plugins import Plugins
from bot.sessions.ports import Directory
from storage import DataFolder, IndexFile, SessionStore, StateFile


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
    agents: Mapping[str, AgentRecipe]
    default_agent: str
    epoch: int
    now: Callable[[], float] = field(default=time.time)

    def repository(self, name: str) -> Repository | None:
        """The configured repository of that name."""
        return next((r for r in self.settings.repositories if r.name == name), None)

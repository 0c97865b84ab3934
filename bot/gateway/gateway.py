"""The gateway of one bot: what every door stands on."""

from __future__ import annotations

from bot.config_gateway import BudgetSettings, GatewaySettings
from bot.domain import Models, Repository, Spender
from bot.gateway.door import Door
from bot.gateway.own_calls import OwnCalls
from bot.gateway.words import Watcher
from storage import StateFile


class Gateway:
    """`door` makes the way out of one turn; `ask` is our own way to a model."""

    def __init__(self, settings: GatewaySettings, budgets: BudgetSettings, state: StateFile) -> None:
        self.models = settings.known_models()
        self._settings, self._budgets, self._state = settings, budgets, state
        self.ask: Models = OwnCalls()

    def door(self, spender: Spender, repository: Repository, watcher: Watcher) -> Door:
        """The way out for one turn. Give it to the turn's sandbox, and close it when the turn ends."""
        return Door()

    async def close(self) -> None:
        """Cut what is open."""

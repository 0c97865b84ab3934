"""What the tests of budgets and of model routes share: a meter on a real state, and a turn that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.config_gateway import BudgetSettings
from bot.domain import Model, ModelProtocol, PromptId, SessionId, Spender
from bot.gateway.meter import Meter
from bot.gateway.words import Budget, Denial, Usage
from storage import Executor, StateFile

ANN = Spender(SessionId("s1"), PromptId(1), "U1", "acme/web")


def model(name: str = "big", **changes: Any) -> Model:
    """A dollar for a thousand tokens written, half for one read: sums can be done in the head."""
    fields: dict[str, Any] = {
        "protocol": ModelProtocol.OPENAI,
        "route": "llm",
        "url": "http://127.0.0.1:3128/routes/llm",
        "input_usd": 500.0,
        "cached_input_usd": 50.0,
        "output_usd": 1000.0,
        "context_tokens": 100_000,
        "output_tokens": 1000,
    }
    return Model(name=name, **fields | changes)


def budgets(**limits: float) -> BudgetSettings:
    scopes = ("turn_usd", "session_usd", "person_day_usd", "repository_day_usd", "day_usd")
    return BudgetSettings.model_validate(dict.fromkeys(scopes, 1000.0) | limits)


class Turn:
    """A watcher that writes down what it is told."""

    def __init__(self) -> None:
        self.usages: list[Usage] = []
        self.warnings: list[Budget] = []
        self.exceedings: list[Budget] = []
        self.troubles: list[str] = []
        self.denials: list[Denial] = []

    async def denied(self, denial: Denial) -> None:
        self.denials.append(denial)

    async def used(self, usage: Usage) -> None:
        self.usages.append(usage)

    async def warned(self, budget: Budget) -> None:
        self.warnings.append(budget)

    async def exceeded(self, budget: Budget) -> None:
        self.exceedings.append(budget)

    async def model_trouble(self, what: str) -> None:
        self.troubles.append(what)

    async def tool(self, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        raise AssertionError("nobody asked for a tool")


@asynccontextmanager
async def opened_state(folder: Path) -> AsyncIterator[StateFile]:
    executor = Executor()
    state = await StateFile.open(folder / "state.db", executor)
    await state.next_epoch()
    yield state
    await state.close()
    executor.close()


def metered(state: StateFile, **limits: float) -> Meter:
    return Meter(budgets(**limits), state)


async def calls(state: StateFile, spender: Spender = ANN) -> list[tuple[str, int]]:
    """(state, nano-dollars it counts for) of a turn's calls."""
    return [(row["state"], row["spent"]) for row in await state.spending.calls(spender.session, spender.turn)]

"""Our own calls to a model: which repository is meant, what a pull request is called."""

from __future__ import annotations

from bot.domain import ModelAsk, ModelReply, Spender
from bot.errors import ModelError


class OwnCalls:
    """See `bot.domain.Models`."""

    ready = False

    async def ask(self, ask: ModelAsk, spender: Spender) -> ModelReply:
        raise ModelError("No model is configured for this.")

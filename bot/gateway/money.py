"""Prices and sums in whole nano-dollars: exact, and rounded up, so that nothing is ever lost to rounding."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from bot.domain import Model

NANOS = 10**9  # of one dollar
_TOKENS = 10**6  # what a price is for


def at_least(usd: float) -> int:
    """A price: what it is in nano-dollars, rounded up."""
    return int((Decimal(str(usd)) * NANOS).to_integral_value(ROUND_CEILING))


def at_most(usd: float) -> int:
    """A limit: what it is in nano-dollars, rounded down."""
    return int((Decimal(str(usd)) * NANOS).to_integral_value(ROUND_FLOOR))


def dollars(nanos: int) -> float:
    return float(Decimal(nanos) / NANOS)


def cost(
    model: Model, input_tokens: int, cached_input_tokens: int, output_tokens: int, extra_input_tokens: int = 0
) -> int:
    """Cached tokens are part of those read; extra ones are billed like read ones and are none."""
    full = (input_tokens - cached_input_tokens + extra_input_tokens) * at_least(model.input_usd)
    cached = cached_input_tokens * at_least(model.cached_input_usd)
    return -((full + cached + output_tokens * at_least(model.output_usd)) // -_TOKENS)


def worst_cost(model: Model, input_tokens: int, output_tokens: int, extra_input_tokens: int = 0) -> int:
    """The most that so many tokens cost, whether or not some of them come from a cache."""
    none = cost(model, input_tokens, 0, output_tokens, extra_input_tokens)
    return max(none, cost(model, input_tokens, input_tokens, output_tokens, extra_input_tokens))

"""Amounts of money, exact to the cent."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

CENT = Decimal("0.01")


def amount(text: str) -> Decimal:
    """Read an amount such as "69.00". Raises ValueError for anything that is not one."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not an amount: {text!r}") from None
    if not value.is_finite() or value != value.quantize(CENT):
        raise ValueError(f"not an amount in whole cents: {text!r}")
    return value.quantize(CENT)


def to_cents(value: Decimal) -> Decimal:
    """Round to whole cents, halves away from zero, as the tax office does."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP)

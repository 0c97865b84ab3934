"""Tax rates, and what they make of an amount."""

from decimal import Decimal

from ledger.money import to_cents

STANDARD_RATE = Decimal("0.19")
REDUCED_RATE = Decimal("0.07")

# Goods that are taxed at the reduced rate; everything else pays the standard rate.
REDUCED_GOODS = frozenset({"book", "newspaper", "food"})


def rate_for(kind: str) -> Decimal:
    """The rate for a kind of goods."""
    return REDUCED_RATE if kind in REDUCED_GOODS else STANDARD_RATE


def tax_on(net: Decimal, kind: str = "goods") -> Decimal:
    """The tax on a net amount, in whole cents."""
    return to_cents(net * rate_for(kind))

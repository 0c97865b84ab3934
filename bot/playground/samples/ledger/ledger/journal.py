"""Double-entry bookkeeping: every booking adds up to zero."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from ledger.invoice import Invoice

RECEIVABLES = "receivables"
REVENUE = "revenue"
TAX_OWED = "tax owed"
BANK = "bank"


@dataclass(frozen=True)
class Booking:
    """Amounts by account under one text; debits are positive, credits negative."""

    text: str
    amounts: dict[str, Decimal]

    def __post_init__(self) -> None:
        total = sum(self.amounts.values(), Decimal("0.00"))
        if total != 0:
            raise ValueError(f"booking {self.text!r} is off by {total}")


class Journal:
    """All bookings, in order. Nothing is ever changed or taken out."""

    def __init__(self) -> None:
        self._bookings: list[Booking] = []

    def __len__(self) -> int:
        return len(self._bookings)

    def book(self, booking: Booking) -> None:
        self._bookings.append(booking)

    def book_invoice(self, invoice: Invoice) -> None:
        self.book(
            Booking(
                f"Invoice {invoice.number}",
                {RECEIVABLES: invoice.gross, REVENUE: -invoice.net, TAX_OWED: -invoice.tax},
            )
        )

    def book_payment(self, invoice: str, amount: Decimal) -> None:
        if amount <= 0:
            raise ValueError("a payment must be more than zero")
        self.book(Booking(f"Payment for {invoice}", {BANK: amount, RECEIVABLES: -amount}))

    def balance(self) -> dict[str, Decimal]:
        """The balance of every account that was ever used."""
        balance: dict[str, Decimal] = defaultdict(lambda: Decimal("0.00"))
        for booking in self._bookings:
            for account, amount in booking.amounts.items():
                balance[account] += amount
        return dict(balance)

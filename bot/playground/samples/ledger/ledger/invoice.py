"""Invoices: what was sold, and what it costs with tax."""

from dataclasses import dataclass, field
from decimal import Decimal

from ledger.tax import tax_on


@dataclass(frozen=True)
class Line:
    """One line of an invoice. `kind` decides the tax rate."""

    text: str
    net: Decimal
    kind: str = "goods"

    @property
    def tax(self) -> Decimal:
        return tax_on(self.net, self.kind)


@dataclass(frozen=True)
class Invoice:
    """An invoice with at least one line. Tax is rounded line by line."""

    number: str
    lines: tuple[Line, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if not self.lines:
            raise ValueError("an invoice needs at least one line")

    @property
    def net(self) -> Decimal:
        return sum((line.net for line in self.lines), Decimal("0.00"))

    @property
    def tax(self) -> Decimal:
        return sum((line.tax for line in self.lines), Decimal("0.00"))

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax

    def summary(self) -> str:
        """One line for people, e.g. in a mail."""
        return f"Invoice {self.number}: {self.gross} EUR, of which {self.tax} EUR tax"

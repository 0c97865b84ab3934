"""The books of a small shop."""

from ledger.invoice import Invoice, Line
from ledger.journal import Booking, Journal
from ledger.tax import STANDARD_RATE

__version__ = "0.6.0"
__all__ = ["STANDARD_RATE", "Booking", "Invoice", "Journal", "Line", "__version__"]

import unittest
from decimal import Decimal

from ledger.invoice import Invoice, Line
from ledger.journal import BANK, RECEIVABLES, Booking, Journal


class JournalTest(unittest.TestCase):
    def setUp(self):
        self.journal = Journal()
        self.invoice = Invoice("2026-001", (Line("Lamp", Decimal("69.00")),))

    def test_an_invoice_is_owed_until_it_is_paid(self):
        self.journal.book_invoice(self.invoice)
        self.assertEqual(self.journal.balance()[RECEIVABLES], self.invoice.gross)
        self.journal.book_payment("2026-001", self.invoice.gross)
        self.assertEqual(self.journal.balance()[RECEIVABLES], 0)
        self.assertEqual(self.journal.balance()[BANK], self.invoice.gross)

    def test_all_accounts_together_are_zero(self):
        self.journal.book_invoice(self.invoice)
        self.assertEqual(sum(self.journal.balance().values()), 0)

    def test_a_booking_that_does_not_add_up_is_refused(self):
        with self.assertRaises(ValueError):
            Booking("typo", {BANK: Decimal("1.00")})

    def test_a_payment_of_nothing_is_refused(self):
        with self.assertRaises(ValueError):
            self.journal.book_payment("2026-001", Decimal("0.00"))


if __name__ == "__main__":
    unittest.main()

import unittest
from decimal import Decimal

from ledger.invoice import Invoice, Line


class InvoiceTest(unittest.TestCase):
    def setUp(self):
        self.invoice = Invoice("2026-001", (Line("Lamp", Decimal("69.00")), Line("Book", Decimal("20.00"), "book")))

    def test_net_is_the_sum_of_the_lines(self):
        self.assertEqual(self.invoice.net, Decimal("89.00"))

    def test_gross_is_net_and_tax(self):
        self.assertEqual(self.invoice.gross, self.invoice.net + self.invoice.tax)

    def test_the_summary_names_number_and_gross(self):
        self.assertIn("2026-001", self.invoice.summary())
        self.assertIn(str(self.invoice.gross), self.invoice.summary())

    def test_an_empty_invoice_is_refused(self):
        with self.assertRaises(ValueError):
            Invoice("2026-002")


if __name__ == "__main__":
    unittest.main()

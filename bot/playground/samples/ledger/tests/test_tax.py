import unittest
from decimal import Decimal

from ledger.tax import REDUCED_RATE, STANDARD_RATE, rate_for, tax_on


class TaxTest(unittest.TestCase):
    def test_goods_pay_the_standard_rate(self):
        self.assertEqual(rate_for("lamp"), STANDARD_RATE)
        self.assertEqual(tax_on(Decimal("100.00")), 100 * STANDARD_RATE)

    def test_books_pay_the_reduced_rate(self):
        self.assertEqual(tax_on(Decimal("100.00"), "book"), 100 * REDUCED_RATE)

    def test_tax_is_in_whole_cents(self):
        self.assertEqual(tax_on(Decimal("0.99")).as_tuple().exponent, -2)

    def test_the_reduced_rate_is_the_lower_one(self):
        self.assertLess(REDUCED_RATE, STANDARD_RATE)


if __name__ == "__main__":
    unittest.main()

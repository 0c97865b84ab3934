import unittest
from decimal import Decimal

from ledger.money import amount, to_cents


class MoneyTest(unittest.TestCase):
    def test_an_amount_is_read_exactly(self):
        self.assertEqual(amount("69.00"), Decimal("69.00"))
        self.assertEqual(amount("7"), Decimal("7.00"))

    def test_what_is_no_amount_is_refused(self):
        for text in ("", "a lot", "1.005", "Infinity"):
            with self.subTest(text), self.assertRaises(ValueError):
                amount(text)

    def test_half_a_cent_is_rounded_up(self):
        self.assertEqual(to_cents(Decimal("0.125")), Decimal("0.13"))


if __name__ == "__main__":
    unittest.main()

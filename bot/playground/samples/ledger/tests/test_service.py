import unittest

from ledger.service import Service


class ServiceTest(unittest.TestCase):
    def setUp(self):
        self.service = Service()

    def test_an_invoice_can_be_booked_and_paid(self):
        invoice = {"number": "2026-001", "lines": [{"text": "Lamp", "net": "69.00"}]}
        status, booked = self.service.answer("POST", "/invoices", invoice)
        self.assertEqual(status, 201)
        payment = {"invoice": "2026-001", "amount": booked["gross"]}
        self.assertEqual(self.service.answer("POST", "/payments", payment)[0], 201)
        self.assertEqual(self.service.answer("GET", "/balance")[1]["receivables"], "0.00")

    def test_a_bad_amount_is_named(self):
        status, answer = self.service.answer("POST", "/payments", {"invoice": "x", "amount": "a lot"})
        self.assertEqual(status, 400)
        self.assertIn("a lot", answer["error"])

    def test_unknown_places_are_not_found(self):
        self.assertEqual(self.service.answer("GET", "/nowhere")[0], 404)

    def test_health_counts_bookings(self):
        self.assertEqual(self.service.answer("GET", "/health"), (200, {"ok": True, "bookings": 0}))


if __name__ == "__main__":
    unittest.main()
